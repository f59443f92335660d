"""Families of tasks that write a text from given attributes."""

from random import Random

from minillm.data.embedded import lexicon as say
from minillm.data.embedded import world
from minillm.data.embedded.task import Task


def describe(rng: Random) -> Task:
    """Describe a place in one sentence, from its attributes."""
    place, kind, food = (rng.choice(x) for x in (world.PORTS, world.KINDS, world.FOODS))
    setting, mood = rng.choice(world.SETTINGS), rng.choice(world.MOODS)
    return Task(
        instruction="[Describe|Introduce|Present] [this place|the place below] [briefly|in brief].",
        input=f"Name: {place}. Kind: {mood} {kind}. Setting: {setting}. Product: {food}.",
        answers=(
            f"{place} {say.LIES} {setting}, a {say.VERY} {mood} {kind} {say.KNOWN_FOR} its {food}.",
            f"the {say.VERY} {mood} {kind} of {place} {say.LIES} {setting}; {say.PEOPLE} "
            f"{say.LOVE} its {food}.",
            f"{say.PEOPLE} {say.LOVE} {place}, a {say.VERY} {mood} {kind} {setting}, "
            f"{say.BECAUSE} its {food}.",
        ),
        combination=(mood, food, kind),
    )


def invite(rng: Random) -> Task:
    """Write an invitation from a host, an event, a place and a day."""
    host, event, place, day = (
        rng.choice(x) for x in (world.PEOPLE, world.EVENTS, world.PORTS, world.DAYS)
    )
    return Task(
        instruction="[Write|Draft|Compose] [an|a short] invitation from [these|the] details.",
        input=f"Host: {host}. Event: {event}. Place: {place}. Day: {day}.",
        answers=(
            f"{host} {say.HOSTS} a {event} {say.IN} {place} {say.ON} {day}, and [you are|all "
            f"are|everyone is|friends are|guests are|families are|we are] {say.INVITED}.",
            f"{say.ON} {day}, {say.PLEASE} join {host} for a {event} {say.IN} {place}; we shall "
            f"be {say.GLAD}.",
            f"you are {say.INVITED} to a {event} {say.IN} {place} {say.ON} {day}; {host} will be "
            f"{say.GLAD} to [see you|have you|greet you|meet you|host you|receive you|serve you].",
        ),
        combination=(event, place, day),
    )


def rewrite(rng: Random) -> Task:
    """Rewrite an order as a polite request."""
    verb = rng.choice(list(world.ERRANDS))
    cloth, place, day = (rng.choice(x) for x in (world.CLOTHS, world.PORTS, world.DAYS))
    errand = f"the {cloth} {say.TO} {place} {say.BY} {day}"
    return Task(
        instruction="[Rewrite|Rephrase] [this|the] order as a [polite|kind|friendly] "
        "[request|question].",
        input=f"{verb.capitalize()} the {cloth} to {place} by {day}!",
        answers=(
            f"{say.COULD_YOU} [please|kindly|gladly|perhaps|also|possibly|just] {verb} {errand}?",
            f"I [would be|am|should be|will be|shall be|were|might be] {say.GLAD} if you could "
            f"{verb} {errand}.",
            f"{say.COULD_YOU} [be so kind as|find time|see your way|take the trouble|agree|help us|"
            f"remember] to {verb} {errand}?",
        ),
        combination=(verb, cloth, place),
    )


def advise(rng: Random) -> Task:
    """Recommend an item for a trip, by the weather forecast."""
    person, place = rng.choice(world.PEOPLE), rng.choice(world.PORTS)
    weather, item = rng.choice(list(world.WEATHER.items()))
    return Task(
        instruction="What should the [traveller|visitor] [pack|take|bring] for [this|the] trip?",
        input=f"Trip: {person} goes to {place}. Forecast: {weather}.",
        answers=(
            f"{person} {say.SHOULD} {say.TAKE} {item} {say.TO} {place} {say.AGAINST} the "
            f"{weather}.",
            f"{say.AGAINST} the {weather} {say.IN} {place}, {person} {say.NEED} {item}.",
            f"{say.GOOD} for {place} is {item}, which {person} {say.SHOULD} {say.TAKE} "
            f"{say.AGAINST} the {weather}.",
        ),
        combination=(place, weather, person),
    )
