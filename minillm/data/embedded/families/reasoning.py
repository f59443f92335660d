"""Families whose answer takes a small step of reasoning: order, choice, overlap, number."""

from random import Random

from minillm.data.embedded import world
from minillm.data.embedded.task import Task
from minillm.data.embedded.wording import one_of


def compare(rng: Random) -> Task:
    """Which of two things is larger."""
    places = rng.sample(world.PLACES, 2)
    sizes = rng.sample(range(2, 10), 2)
    thing = rng.choice(list(world.MEASURES))
    unit, more, less = world.MEASURES[thing]
    (low, small), (high, large) = sorted(zip(sizes, places, strict=True))
    return Task(
        instruction=f"[Compare|Contrast] the {thing}s of [these|the] two [places|ports].",
        input=f"Size: {', '.join(f'{p} {s} {unit}' for p, s in zip(places, sizes, strict=True))}.",
        answer=one_of(
            f"the {thing} [in|of|at] {large} is {more} than [the one|that] [in|at] {small}"
            f"[|, {high} {unit} against {low}|, by {high} to {low}].",
            f"[with|having|at] {high} {unit}, the {thing} [in|of|at] {large} is {more} than "
            f"[the one|that] [in|at] {small}.",
            f"the {thing} [in|of|at] {small} is {less} than [the one|that] [in|at] {large}"
            f"[|, {low} {unit} against {high}|, by {low} to {high}].",
        ),
        combination=tuple(sorted(places)),
    )


def rank(rng: Random) -> Task:
    """Three players by their places."""
    a, b, c = rng.sample(world.PEOPLE, 3)
    results = rng.sample([f"{a} first", f"{b} second", f"{c} third"], 3)
    return Task(
        instruction="[Rank|Order|Sort] the [three players|players] from [best to worst|first to "
        "last].",
        input=f"Results: {', '.join(results)}.",
        answer=one_of(
            f"[first|in first place|at the top] [is|comes|we find] {a}, [then|next] comes "
            f"{b}, and [finally|last|in the end] {c}.",
            f"the [order|ranking|list] [is|reads|goes] {a}, [then |]{b}, [and then|then|and] {c}.",
            f"[the winner is|first place goes to|the best is] {a}; {b} [is|comes|was] second "
            f"and {c} [is |comes |]third.",
        ),
        combination=(a, b, c),
    )


def recommend(rng: Random) -> Task:
    """The one place of two that has what a visitor likes."""
    person = rng.choice(world.PEOPLE)
    best, other = rng.sample(world.PLACES, 2)
    sight, other_sight = rng.sample(world.SIGHTS, 2)
    mood = rng.choice(world.MOODS)
    rows = [f"{best} is {mood} and has a {sight}.", f"{other} has a {other_sight}."]
    rng.shuffle(rows)
    return Task(
        instruction=f"[Recommend|Suggest] a [place|port] [to|for] {person}, who [likes|loves] a "
        f"{sight}.",
        input=f"Places: {' '.join(rows)}",
        answer=one_of(
            f"[I suggest|I recommend|my choice is] {best} for {person}, "
            f"[because|since|as] it is {mood} and has a {sight}.",
            f"[with its|thanks to its|for its] {sight}, {mood} {best} [would suit|is right "
            f"for|should please] {person}.",
            f"[perhaps|surely] {person} [should|would like to|ought to] [visit|see|go to] {best}, "
            f"[which is|for it is] {mood} and has a {sight}.",
        ),
        combination=(mood, sight),
    )


def route(rng: Random) -> Task:
    """The way between two ports with one change of boats."""
    start, change, end = rng.sample(world.PLACES, 3)
    legs = rng.sample([f"{start} to {change}", f"{change} to {end}"], 2)
    return Task(
        instruction=f"[Plan|Find] [a|the] [way|route|trip] from {start} to {end}.",
        input=f"Ferries: {'; '.join(legs)}.",
        answer=one_of(
            f"[take the ferry|sail|go] from {start} to {change}, [then|and then|and from there] "
            f"[take the boat|sail on|go on] to {end}.",
            f"[from|starting in|leaving] {start}, [go|sail|travel] to {change} and [change there|"
            f"change boats|take the next ferry] for {end}.",
            f"[go|sail|travel] [from {start} to {end}|to {end} from {start}] [by way of|through|"
            f"with a stop in] {change}.",
            f"you can [reach|get to|sail to] {end} from {start} [by way of|through|with a stop in] "
            f"{change}.",
        ),
        combination=(start, end),
    )


def schedule(rng: Random) -> Task:
    """The one day on which two people are both free."""
    first, second = rng.sample(world.PEOPLE, 2)
    shared, *days = rng.sample(world.DAYS, 3)
    free = [" and ".join(sorted((shared, day), key=world.DAYS.index)) for day in days]
    return Task(
        instruction="[Find|Choose|Name] [a|the] day on which [both|the two] can meet.",
        input=f"Free: {first} on {free[0]}, {second} on {free[1]}.",
        answer=one_of(
            f"[the two|both|they] [can|could|should] meet on {shared}, [when|because|since] "
            f"{first} and {second} are [both |]free.",
            f"on {shared}, [both |]{first} and {second} [are free|have time|can meet].",
            f"[the best day is|I suggest|let us choose] {shared}, [when|because|since] "
            f"[both |]{first} and {second} [are free|have time|can meet].",
        ),
        combination=(*sorted((first, second)), shared),
    )
