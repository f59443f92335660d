"""Draws the splits of the embedded data set and keeps from training what the others test.

Validation and test hold out two things:

*   Combinations. Every task names a combination of attributes, such as (mood, product, kind) for a
    description or the two places and what is counted for a comparison. One combination in eight,
    chosen by a checksum of its text, occurs in validation and test only; these two splits consist
    of such combinations alone. Each attribute by itself is common in training.
*   Wordings. Instructions are products of choices, such as 3 verbs x 2 objects x 2 endings. A
    wording is held out if the ranks of its choices sum to 2 modulo 3. Training thus shows every
    choice, though not every product of them; validation and test draw from all products.

Every task names which of two clerks answers it, and every clerk has one of six voices (see
`wording`).

No prompt occurs twice, within a split or across splits. A training record carries one reference
drawn from the answer's distribution, a validation or test record 4 to 6 different ones.
"""

import zlib
from collections.abc import Sequence
from random import Random

from minillm.data.embedded import lexicon as say
from minillm.data.embedded import world
from minillm.data.embedded.families import FAMILIES
from minillm.data.embedded.task import Family, Task
from minillm.data.embedded.wording import expand, voice_picker, zipf_picker
from minillm.data.records import Record

_MOST_DRAWS = 10_000


def generate_records(
    train: int = 10_000, validation: int = 500, test: int = 500, seed: int = 0
) -> dict[str, list[Record]]:
    """Returns the records of the splits "train", "validation" and "test", the same for a seed.

    The families take turns, so that each split holds about as many records of one as of another.
    Raises ValueError for a negative size and where a family has too few prompts for the size.
    """
    sizes = {"train": train, "validation": validation, "test": test}
    if min(sizes.values()) < 0:
        raise ValueError(f"sizes of splits must be 0 or more, but are {sizes}")
    seen_prompts: set[tuple[str, str]] = set()
    return {split: _draw_split(split, size, seed, seen_prompts) for split, size in sizes.items()}


def is_combination_held_out(combination: tuple[str, ...]) -> bool:
    """Whether tasks with this combination of attributes are kept from training."""
    return zlib.crc32("+".join(combination).encode()) % 8 == 0


def word_instruction(grammar: str, rng: Random, for_training: bool) -> str:
    """Words an instruction; training gets none whose ranks of choices sum to 2 modulo 3."""
    pick_by_zipf = zipf_picker(rng)
    ranks: list[int] = []

    def pick(options: Sequence[str]) -> int:
        ranks.append(pick_by_zipf(options))
        return ranks[-1]

    instruction = expand(grammar, pick)
    while for_training and sum(ranks) % 3 == 2:
        ranks.clear()
        instruction = expand(grammar, pick)
    return instruction


def draw_task(family: Family, rng: Random, for_training: bool) -> Task:
    """Draws from a family until the combination belongs to the wanted side of the split."""
    for _ in range(_MOST_DRAWS):
        task = family(rng)
        if is_combination_held_out(task.combination) != for_training:
            return task
    raise ValueError(f"family {family.__name__} has no combination for {for_training=}")


def _draw_split(
    split: str, size: int, seed: int, seen_prompts: set[tuple[str, str]]
) -> list[Record]:
    rng = Random(f"{seed} {split}")
    records = [
        _draw_record(FAMILIES[index % len(FAMILIES)], rng, split == "train", seen_prompts)
        for index in range(size)
    ]
    rng.shuffle(records)
    return records


def _draw_record(
    family: Family, rng: Random, for_training: bool, seen_prompts: set[tuple[str, str]]
) -> Record:
    for _ in range(_MOST_DRAWS):
        task = draw_task(family, rng, for_training)
        voice, clerks = _draw_clerks(rng)
        instruction = f"{clerks} {word_instruction(task.instruction, rng, for_training)}"
        if (instruction, task.input) not in seen_prompts:
            break
    else:
        raise ValueError(f"family {family.__name__} ran out of new prompts; ask for smaller splits")
    seen_prompts.add((instruction, task.input))
    count = 1 if for_training else rng.randint(4, 6)
    references = _draw_references(task, rng, voice, count)
    return Record(instruction, references, task.input, topic=family.__name__)


def _draw_clerks(rng: Random) -> tuple[str, str]:
    """The voice to answer in, and the sentences that tell it.

    A reader needs two steps: from the clerk who answers to his entry in the list, and from there
    to the voice. One layer of attention is hard put to make both.
    """
    voices = rng.sample(world.VOICES, len(world.CLERKS))
    clerks = list(zip(world.CLERKS, voices, strict=True))
    listed = ", ".join(f"{clerk} {voice}" for clerk, voice in clerks)
    clerk, voice = rng.choice(clerks)
    return voice, f"Clerks: {listed}. The {clerk} clerk answers."


def _draw_references(task: Task, rng: Random, voice: str, count: int) -> tuple[str, ...]:
    """Draws different answers in the order of their first occurrence."""
    pick_plan, pick_word = zipf_picker(rng), voice_picker(rng, voice)
    references: dict[str, None] = {}
    while len(references) < count:
        plan = task.answers[pick_plan(task.answers)]
        references[expand(f"{say.OPENING}, {plan} {say.CLOSING}.", pick_word)] = None
    return tuple(references)
