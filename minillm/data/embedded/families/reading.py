"""Families of tasks that extract facts from a short text or table."""

from random import Random

from minillm.data.embedded import lexicon as say
from minillm.data.embedded import world
from minillm.data.embedded.task import Task


def extract(rng: Random) -> Task:
    """Extract the person, the cargo, the place and the day from a note."""
    person, food, place, day = (
        rng.choice(x) for x in (world.PEOPLE, world.FOODS, world.PORTS, world.DAYS)
    )
    note = rng.choice(
        (
            f"on {day} {person} brings {food} to {place}.",
            f"in {place} they expect {food} from {person} on {day}.",
        )
    )
    return Task(
        instruction="[Extract|List|Pick out] the [four|main] facts [from|of] [this|the] note.",
        input=f"Note: {note}",
        answers=(
            f"{say.WHO}: {person}; {say.WHAT}: {food}; {say.WHERE}: {place}; {say.WHEN}: {day}.",
            f"{say.WHERE}: {place}; {say.WHEN}: {day}; {say.WHO}: {person}; {say.WHAT}: {food}.",
            f"the {say.WHO} is {person}, the {say.WHAT} {food}, the {say.WHERE} {place}, the "
            f"{say.WHEN} {day}.",
        ),
        combination=(person, food, place),
    )


def lookup(rng: Random) -> Task:
    """Look up the price or the day of a trip in a table."""
    isle, day, price, boat = (
        rng.choice(x) for x in (world.ISLES, world.DAYS, range(2, 10), world.BOATS)
    )
    table = f"Fares: isle {isle}, boat {boat}, day {day}, price {price} coins."
    if rng.random() < 0.5:
        instruction = f"[Say|Tell me|Look up] what [the|a] [trip|crossing] to {isle} costs."
        answers = (
            f"the {say.TRIP} {say.TO} {isle} {say.COSTS} {price} coins.",
            f"to {say.GO} {say.TO} {isle} [you|one|all|we|guests|they|travellers] {say.PAY} "
            f"{price} coins.",
            f"{say.PAY} {price} coins for the {say.TRIP} {say.TO} {isle}.",
        )
    else:
        instruction = f"[Say|Tell me|Look up] when [the|a] [boat|ferry] {say.GO} {say.TO} {isle}."
        instruction = f"[Say|Tell me|Look up] on which day [the|a] [trip|crossing] to {isle} is."
        answers = (
            f"the {boat} will {say.GO} {say.TO} {isle} {say.ON} {day}.",
            f"{say.ON} {day} the {boat} will {say.LEAVE} port to {say.REACH} {isle}.",
            f"the {say.TRIP} {say.TO} {isle} [is|takes place|starts|falls|comes|begins|happens] on "
            f"{day}.",
        )
    return Task(instruction, table, answers, combination=(isle, day, boat))


def summarise(rng: Random) -> Task:
    """Summarise a report of three sentences in one sentence."""
    person, cloth, sea = (rng.choice(x) for x in (world.PEOPLE, world.CLOTHS, world.SEAS))
    start, end, hour = rng.choice(world.PORTS), rng.choice(world.ISLES), rng.choice(world.HOURS)
    return Task(
        instruction="[Summarise|Sum up|Shorten] [this|the] report in [one|a single] sentence.",
        input=f"Report: {person} left {start} with {cloth}. The sea was {sea}. The ship reached "
        f"{end} at {hour}.",
        answers=(
            f"{person} {say.CARRIED} {cloth} {say.FROM} {start} {say.TO} {end} on a {say.VERY} "
            f"{sea} sea, {say.END}.",
            f"{say.BY} {hour}, {person} had {say.CARRIED} {cloth} {say.FROM} {start} {say.TO} "
            f"{end}.",
            f"on a {say.VERY} {sea} sea, {person} {say.CARRIED} a {say.CARGO} of {cloth} {say.TO} "
            f"{end} {say.END}.",
        ),
        combination=(person, cloth, start),
    )
