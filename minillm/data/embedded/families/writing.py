"""Families that write a text from given attributes."""

from random import Random

from minillm.data.embedded import world
from minillm.data.embedded.task import Task
from minillm.data.embedded.wording import one_of


def describe(rng: Random) -> Task:
    """One sentence about a place, from its attributes."""
    place, kind, good = (rng.choice(x) for x in (world.PLACES, world.KINDS, world.GOODS))
    setting, mood = rng.choice(world.SETTINGS), rng.choice(world.MOODS)
    return Task(
        instruction="[Describe|Introduce|Present] [this place|the place below] [briefly|in brief].",
        input=f"Name: {place}. Kind: {mood} {kind}. Setting: {setting}. Product: {good}.",
        answer=one_of(
            f"the {mood} {kind} [of|called|named] {place} [lies|stands|can be found] "
            f"{setting} and is [known for|famous for|proud of] its {good}.",
            f"[set|lying|built] {setting}, {place} is a {mood} {kind} [known for|famous "
            f"for|that lives by] its {good}.",
            f"[known|famous|well known] for its {good}, {place} [is|has long been] a {mood} {kind} "
            f"{setting}.",
            f"[visitors|travellers|people] [come to|love] {place}, a {mood} {kind} {setting}, "
            f"[for|because of] its {good}.",
        ),
        combination=(mood, good),
    )


def invite(rng: Random) -> Task:
    """An invitation from a host, an event, a place and a day."""
    host, event, place, day = (
        rng.choice(x) for x in (world.PEOPLE, world.EVENTS, world.PLACES, world.DAYS)
    )
    return Task(
        instruction="[Write|Draft|Compose] [an|a short] invitation from [these|the] details.",
        input=f"Host: {host}. Event: {event}. Place: {place}. Day: {day}.",
        answer=one_of(
            f"[please|do] [join|come and join|be the guest of] {host} for a {event} in "
            f"{place} [on|this] {day}.",
            f"[on|this] {day}, {host} is [hosting|holding|planning] a {event} in {place}, and [you "
            "are|all are|everyone is] [invited|welcome|warmly invited].",
            f"[you are|everyone is|all friends are] [invited|warmly invited|welcome] to a {event} "
            f"in {place} on {day}, [hosted|planned|held] by {host}.",
            f"[there will be|we announce|come to] a {event} in {place} on {day}; {host} "
            "[will be glad|hopes|would love] to see you there.",
        ),
        combination=(event, place),
    )


def rewrite(rng: Random) -> Task:
    """A curt order turned into a polite request."""
    verb = rng.choice(list(world.ERRANDS))
    good, place, day = (rng.choice(x) for x in (world.GOODS, world.PLACES, world.DAYS))
    errand = f"the {good} to {place} [by|before the end of] {day}"
    return Task(
        instruction="[Rewrite|Rephrase] [this|the] order as a [polite|kind|friendly] "
        "[request|question].",
        input=f"{verb.capitalize()} the {good} to {place} by {day}!",
        answer=one_of(
            f"[could|would|can] you [please |kindly |]{verb} {errand}?",
            f"[would|do] you mind [|very much |at all ]{world.ERRANDS[verb]} {errand}?",
            f"[might|may|could] I [ask|trouble|beg] you to {verb} {errand}?",
            f"[would it be possible|would you be willing|would you be so kind as] to {verb} "
            f"{errand}?",
            f"[I would be grateful|it would be kind|we would be glad] if you [could|would] {verb} "
            f"{errand}.",
        ),
        combination=(verb, good, place),
    )


def advise(rng: Random) -> Task:
    """What to take on a trip, for two kinds of weather."""
    person, place = rng.choice(world.PEOPLE), rng.choice(world.PLACES)
    first, second = rng.sample(list(world.WEATHER), 2)
    one, two = world.WEATHER[first], world.WEATHER[second]
    return Task(
        instruction="What should the [traveller|visitor] [pack|take|bring] for [this|the] trip?",
        input=f"Trip: {person} goes to {place}. Forecast: {first}, then {second}.",
        answer=one_of(
            f"[for the|against the] {first} in {place}, {person} [should take|needs|will want] "
            f"{one}, and for the {second} {two}.",
            f"[with|given|expecting] {first} and {second} [in|on the way to] {place}, {person} "
            f"[should take|ought to pack|had better bring] {one} and {two}.",
            f"[take|bring|pack] {one} [for|against] the {first}[,| in {place},] {person}, and "
            f"{two} [for|against] the {second}.",
            f"[the best things|the right things] for {person} to [take|pack|bring] to {place} are "
            f"{one} [for|against] the {first} and {two} for the {second}.",
        ),
        combination=(place, first, second),
    )
