"""Families of tasks that need a small step of reasoning: order, choice, overlap, number."""

from random import Random

from minillm.data.embedded import lexicon as say
from minillm.data.embedded import world
from minillm.data.embedded.task import Task


def compare(rng: Random) -> Task:
    """Decide whether a port or an isle has more of the counted objects."""
    port, isle, thing = (rng.choice(x) for x in (world.PORTS, world.ISLES, world.COUNTED))
    many, few = rng.choice(world.MANY), rng.choice(world.FEW)
    large, small = rng.sample((port, isle), 2)
    counts = {large: many, small: few}
    return Task(
        instruction="[Compare|Contrast] the [port and the isle|two places].",
        input=f"{thing.capitalize()}: {port} {counts[port]}, {isle} {counts[isle]}.",
        answers=(
            f"{say.WITH} {many}, {large} has {say.MORE} {thing} than {small}.",
            f"{large} has {say.MORE} {thing} than {small}, {many} {say.AGAINST} {few}.",
            f"there are {say.FEWER} {thing} {say.IN} {small} than {say.IN} {large}.",
        ),
        combination=(port, isle, thing),
    )


def sort(rng: Random) -> Task:
    """Assign a food and a cloth to their classes."""
    food, cloth, person = (rng.choice(x) for x in (world.FOODS, world.CLOTHS, world.PEOPLE))
    goods = rng.sample((food, cloth), 2)
    return Task(
        instruction="[Sort|Class|Group] [these|the] goods of the [store|shop] into food and cloth.",
        input=f"Store of {person}: {' and '.join(goods)}.",
        answers=(
            f"the {food} of {person} {say.BELONGS} to the food, the {cloth} {say.BELONGS} to the "
            "cloth.",
            f"{say.FIRST} the food, which is {food}; {say.THEN} the cloth of {person}, the "
            f"{cloth}.",
            f"in the store of {person}, {food} {say.BELONGS} to the food and {cloth} to the cloth.",
        ),
        combination=(food, cloth, person),
    )


def recommend(rng: Random) -> Task:
    """Recommend a place that has the sight that a visitor likes."""
    person, place, sight, mood = (
        rng.choice(x) for x in (world.PEOPLE, world.PORTS, world.SIGHTS, world.MOODS)
    )
    return Task(
        instruction=f"[Recommend|Suggest] a [place|port] [to|for] {person}, who [likes|loves] a "
        f"{sight}.",
        input=f"Places: {place} is {mood} and has a {sight}.",
        answers=(
            f"I {say.SUGGEST} {place} for {person}, {say.SINCE} it is {say.VERY} {mood} and has a "
            f"{sight}.",
            f"{person} {say.SHOULD} {say.VISIT} {mood} {place} {say.BECAUSE} its {sight}.",
            f"{say.BECAUSE} its {sight}, {mood} {place} is {say.GOOD} for {person}.",
        ),
        combination=(mood, sight, place),
    )


def route(rng: Random) -> Task:
    """Plan the trip from a port to an isle."""
    start, end, boat, hour = (
        rng.choice(x) for x in (world.PORTS, world.ISLES, world.BOATS, world.HOURS)
    )
    return Task(
        instruction=f"[Plan|Find] [a|the] [way|route|trip] from {start} to {end}.",
        input=f"Boats: {start} to {end}, {boat}, {hour}.",
        answers=(
            f"{say.BOARD} the {boat} {say.FROM} {start} at {hour} to {say.REACH} {end}.",
            f"{say.LEAVE} {start} at {hour}, {say.THEN} {say.GO} with the {boat} {say.TO} {end}.",
            f"at {hour}, {say.GO} with the {boat} {say.FROM} {start} and you will {say.REACH} "
            f"{end}.",
        ),
        combination=(start, end, boat),
    )


def schedule(rng: Random) -> Task:
    """Find the place and the time of a meeting with a person."""
    person, day, hour, room = (
        rng.choice(x) for x in (world.PEOPLE, world.DAYS, world.HOURS, world.ROOMS)
    )
    return Task(
        instruction="[Find|Choose|Name] [a|the] [day|time] on which [all|we] can meet.",
        input=f"Free: {person} on {day}, the {room} at {hour}.",
        answers=(
            f"we {say.SHOULD} {say.MEET} {say.IN} the {room} at {hour} {say.ON} {day}, when "
            f"{person} is {say.FREE}.",
            f"{say.ON} {day} {person} is {say.FREE}; let us {say.MEET} {say.IN} the {room} at "
            f"{hour}.",
            f"I {say.SUGGEST} {day} at {hour} {say.IN} the {room}, {say.SINCE} {person} is "
            f"{say.FREE}.",
        ),
        combination=(person, day, hour),
    )
