"""Names and wordings of a split. Those of `test` occur in no other split.

*   Names are made of two syllables, so that there are thousands. One name in four, selected by a
    checksum, is a name of `test`.
*   A wording is a product of choices, such as 4 verbs x 3 objects. It is a wording of `test` if the
    indices of its choices sum to 0 modulo 3. The other splits therefore have every choice, but not
    every product: a model trained from scratch cannot know a word that it has never read.
"""

import zlib
from collections.abc import Sequence
from random import Random

# Two groups of questions with the names and wordings of training: those that the base model is
# trained on, and those that it later answers without having read them. Then the test questions.
DEMONSTRATIONS, TRAIN, TEST = SPLITS = ("demonstrations", "train", "test")

CONSONANTS = "bdfgklmnprstvz"
VOWELS = "aeiou"
ENDINGS = ("", "k", "l", "m", "n", "r", "s", "t")
TEST_NAMES = 4  # one name in four
TEST_WORDINGS = 3  # one wording in three


def is_test_name(name: str) -> bool:
    """Whether only test questions have this name."""
    return zlib.crc32(name.encode()) % TEST_NAMES == 0


def draw_names(random: Random, split: str, count: int) -> list[str]:
    """Names of a split, such as "Tamir", with different first letters."""
    names: dict[str, str] = {}
    while len(names) < count:
        syllables = [random.choice(CONSONANTS) + random.choice(VOWELS) for _ in range(2)]
        name = f"{''.join(syllables)}{random.choice(ENDINGS)}".capitalize()
        if is_test_name(name) == (split == TEST):
            names.setdefault(name[0], name)
    return list(names.values())


def draw_wording(random: Random, split: str, *parts: Sequence) -> list:
    """One option of each part, such that the product is a wording of the split."""
    while True:
        indices = [random.randrange(len(part)) for part in parts]
        if (sum(indices) % TEST_WORDINGS == 0) == (split == TEST):
            return [part[i] for part, i in zip(parts, indices, strict=True)]
