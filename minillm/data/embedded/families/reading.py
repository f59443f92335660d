"""Families that find something in a short text or table."""

from random import Random

from minillm.data.embedded import world
from minillm.data.embedded.task import Task
from minillm.data.embedded.wording import one_of


def extract(rng: Random) -> Task:
    """The person, cargo, place and day of a note."""
    person, good, place, day = (
        rng.choice(x) for x in (world.PEOPLE, world.GOODS, world.PLACES, world.DAYS)
    )
    note = rng.choice(
        (
            f"on {day} {person} brings {good} to {place}.",
            f"in {place} they expect {good} from {person} on {day}.",
        )
    )
    return Task(
        instruction="[Extract|List|Pick out] the [four|main] facts [from|of] [this|the] note.",
        input=f"Note: {note}",
        answer=one_of(
            f"[person|who|name]: {person}; [cargo|what|goods]: {good}; [place|where|port]: "
            f"{place}; [day|when|date]: {day}.",
            f"the [person|carrier|sender] is {person}, the [cargo|load] is {good}, the "
            f"[place|port] is {place} and the [day|date] is {day}.",
            f"[place|where|port]: {place}; [day|when|date]: {day}; [person|who|name]: {person}; "
            f"[cargo|what|goods]: {good}.",
        ),
        combination=(person, good),
    )


def fare(rng: Random) -> Task:
    """The price of one trip, from a table of two."""
    places = rng.sample(world.PLACES, 2)
    coins = rng.sample(range(2, 10), 2)
    fares = list(zip(places, coins, strict=True))
    place, price = rng.choice(fares)
    return Task(
        instruction=f"[Say|Tell me|Look up] what [the|a] [ferry|boat] to {place} costs.",
        input=f"Fares: {', '.join(f'{p} {c} coins' for p, c in fares)}.",
        answer=one_of(
            f"the [ferry|boat|trip|crossing] to {place} [costs|is|will cost you] {price} coins"
            f"[|, by the list|, as the list says].",
            f"[you pay|it costs|you have to pay|expect to pay] {price} coins to "
            f"[go|sail|travel|get] to {place}.",
            f"[a|the|your] [ticket|seat|place on the boat] to {place} [costs|is|comes to] "
            f"{price} coins.",
            f"[by the list|as the list says], [you pay|it costs|it takes] {price} coins to "
            f"[reach|sail to|get to] {place}.",
        ),
        combination=(place, str(price)),
    )


def summarise(rng: Random) -> Task:
    """One sentence for a report of three."""
    person, good, sea = (rng.choice(x) for x in (world.PEOPLE, world.GOODS, world.SEAS))
    start, end = rng.sample(world.PLACES, 2)
    return Task(
        instruction="[Summarise|Sum up|Shorten] [this|the] report in [one|a single] sentence.",
        input=f"Report: {person} left {start} with {good}. The sea was {sea}. The ship reached "
        f"{end} at dusk.",
        answer=one_of(
            f"[on|over|across] a {sea} sea, {person} [carried|brought|took|shipped] {good} from "
            f"{start} to {end}[| by dusk].",
            f"[by dusk|before night|before dark], {person} had [sailed|travelled|gone] from "
            f"{start} to {end} with {good} [on|over|across] a {sea} sea.",
            f"[with|thanks to] {person}, [a load|a cargo] of {good} [came|travelled|went] "
            f"from {start} to {end} [on|over|across] a {sea} sea.",
        ),
        combination=(person, good),
    )
