"""Names and wordings of a split. Those of `test` occur in no other split.

*   Names are made of two syllables, so that there are 2,520. One name in four, selected by a
    checksum, is a name of `test`.
*   A wording is a product of choices, such as 4 verbs x 3 objects. It is a wording of `test` if the
    indices of its choices sum to 0 modulo 3. The other splits therefore have every choice, but not
    every product: a model trained from scratch cannot know a word that it has never read.
"""

import zlib
from collections.abc import Sequence
from itertools import product
from random import Random

# Two groups of questions with the names and wordings of training: those that the base model is
# trained on, and those that it later answers without having read them. Then the test questions.
DEMONSTRATIONS, TRAIN, TEST = SPLITS = ("demonstrations", "train", "test")

VOWELS = "aeiou"
FINALS = ("k", "l", "m", "n", "r", "s", "t", "")
# The lists are so short that a trained tokenizer learns most syllables as tokens. A model of two
# layers copies names of two tokens easily, and names of many letters hardly.
FIRST_SYLLABLES = tuple(
    f"{consonant}{VOWELS[(i + j) % 5]}"
    for i, consonant in enumerate("BDFGKLMNPRSTVZ")
    for j in range(3)
)
LAST_SYLLABLES = tuple(
    f"{consonant}{vowel}{FINALS[(5 * i + j) % len(FINALS)]}"
    for i, consonant in enumerate("bcdfgjkpvwxz")
    for j, vowel in enumerate(VOWELS)
)
TEST_NAMES = 4  # one name in four
TEST_WORDINGS = 3  # one wording in three


def is_test_name(name: str) -> bool:
    """Whether only test questions have this name."""
    return zlib.crc32(name.encode()) % TEST_NAMES == 0


def draw_names(random: Random, split: str, count: int) -> list[str]:
    """Names of a split, such as "Tavek", with different first letters."""
    names: dict[str, str] = {}
    while len(names) < count:
        name = random.choice(FIRST_SYLLABLES) + random.choice(LAST_SYLLABLES)
        if is_test_name(name) == (split == TEST):
            names.setdefault(name[0], name)
    return list(names.values())


def draw_wording(random: Random, split: str, *parts: Sequence) -> tuple:
    """One option of each part, such that the product is a wording of the split."""
    products = [
        indices
        for indices in product(*(range(len(part)) for part in parts))
        if (sum(indices) % TEST_WORDINGS == 0) == (split == TEST)
    ]
    return tuple(part[i] for part, i in zip(parts, random.choice(products), strict=True))
