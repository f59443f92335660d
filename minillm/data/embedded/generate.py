"""Draws the splits of the embedded data set; some tasks occur in validation and test only.

Two things are held out from training:

*   Combinations. Every task has a combination of attributes, such as (mood, product, kind) for a
    description, or the two places and the counted objects for a comparison. One combination in
    eight, selected by a checksum of its text, is held out. All tasks of validation and test have
    held-out combinations. Each single attribute is common in training.
*   Wordings. An instruction is a product of choices, such as 3 verbs x 2 objects x 2 endings. A
    wording is held out if the ranks of its choices sum to 2 modulo 3. Training therefore contains
    every choice, but not every product of choices. Validation and test draw from all products.

Every prompt names two clerks, their voices, and which clerk answers. There are six voices (see
`wording`).

No prompt occurs twice, within a split or across splits. A training record has one reference, drawn
from the distribution of answers. A validation or test record has 4 to 6 different references.
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

_MAX_DRAWS = 10_000


def generate_records(
    train: int = 10_000, validation: int = 500, test: int = 500, seed: int = 0
) -> dict[str, list[Record]]:
    """Generate the records of the splits "train", "validation" and "test".

    Equal seeds give equal records. Each split has about the same number of records per family.

    Raises:
        ValueError: a size is negative, or a family has too few prompts for the sizes.
    """
    sizes = {"train": train, "validation": validation, "test": test}
    if min(sizes.values()) < 0:
        raise ValueError(f"the sizes of the splits must be 0 or more, but are {sizes}")
    seen_prompts: set[tuple[str, str]] = set()
    return {split: _draw_split(split, size, seed, seen_prompts) for split, size in sizes.items()}


def is_combination_held_out(combination: tuple[str, ...]) -> bool:
    """Whether tasks with this combination of attributes are held out from training."""
    return zlib.crc32("+".join(combination).encode()) % 8 == 0


def word_instruction(grammar: str, rng: Random, for_training: bool) -> str:
    """Draw the wording of an instruction; held-out wordings are not used for training."""
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
    """Draw tasks of a family until the combination is held out (or is not, for training).

    Raises:
        ValueError: no draw gave such a combination.
    """
    for _ in range(_MAX_DRAWS):
        task = family(rng)
        if is_combination_held_out(task.combination) != for_training:
            return task
    raise ValueError(
        f"the family {family.__name__} has no combination for {for_training=}. Add attributes to "
        f"its combination."
    )


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
    for _ in range(_MAX_DRAWS):
        task = draw_task(family, rng, for_training)
        voice, clerks = _draw_clerks(rng)
        instruction = f"{clerks} {word_instruction(task.instruction, rng, for_training)}"
        if (instruction, task.input) not in seen_prompts:
            break
    else:
        raise ValueError(f"the family {family.__name__} has no new prompts left. Reduce the sizes.")
    seen_prompts.add((instruction, task.input))
    count = 1 if for_training else rng.randint(4, 6)
    references = _draw_references(task, rng, voice, count)
    return Record(instruction, references, task.input, topic=family.__name__)


def _draw_clerks(rng: Random) -> tuple[str, str]:
    """The voice of the answer, and the sentences of the prompt that determine the voice.

    A model needs two steps: from the clerk who answers to the clerk's entry in the list, and from
    this entry to the voice. Two steps are difficult for one layer of attention.
    """
    voices = rng.sample(world.VOICES, len(world.CLERKS))
    clerks = list(zip(world.CLERKS, voices, strict=True))
    listed = ", ".join(f"{clerk} {voice}" for clerk, voice in clerks)
    clerk, voice = rng.choice(clerks)
    return voice, f"Clerks: {listed}. The {clerk} clerk answers."


def _draw_references(task: Task, rng: Random, voice: str, count: int) -> tuple[str, ...]:
    """Draw `count` different answers, in the order of their first occurrence."""
    pick_plan, pick_word = zipf_picker(rng), voice_picker(rng, voice)
    references: dict[str, None] = {}
    while len(references) < count:
        plan = task.answers[pick_plan(task.answers)]
        references[expand(f"{say.OPENING}, {plan} {say.CLOSING}.", pick_word)] = None
    return tuple(references)
