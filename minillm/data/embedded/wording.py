"""A grammar of phrasings in one notation: `[often|less often|seldom]`, which may be nested.

A text such as "[Take|Bring] [a coat|your [warm|thick] coat]." stands for a distribution over
sentences; each bracket is an independent choice.

Instructions choose by Zipf's law: the n-th option has a weight of n^-1.25. Answers are given in a
voice. The first option of a bracket is common speech that all voices use; each voice has, for each
bracket, another option that it likes as well; the rest is rare. So answers have many modes and a
long tail, and which modes are right depends on the voice. A model that has not
learned who says what can blur all voices into one, or keep to common speech.
"""

import itertools
import re
import zlib
from collections.abc import Callable
from random import Random

_ZIPF_EXPONENT = 1.25
_RARE = 0.05
_INNERMOST_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def one_of(*options: str) -> str:
    """The grammar that chooses between whole sentence plans, the most usual one first."""
    return "[" + "|".join(options) + "]"


def expand(grammar: str, pick: Callable[[int], int]) -> str:
    """Replaces every bracket by one of its options, the inner before the outer.

    `pick(n)` returns which of n options to take. Afterwards the text is made a proper sentence:
    "a" becomes "an" before a vowel, and the first letter of every sentence a capital.
    """
    while choice := _INNERMOST_CHOICE.search(grammar):
        options = choice[1].split("|")
        chosen = options[pick(len(options))]
        grammar = grammar[: choice.start()] + chosen + grammar[choice.end() :]
    text = re.sub(r"\b([Aa])(?= [aeiou])", r"\1n", grammar)
    return re.sub(r"(^|[.!?] )([a-z])", lambda start: start[1] + start[2].upper(), text)


def zipf_picker(rng: Random) -> Callable[[int], int]:
    """A `pick` for `expand` that prefers the earlier options by Zipf's law."""

    def pick(count: int) -> int:
        weights = [rank**-_ZIPF_EXPONENT for rank in range(1, count + 1)]
        return rng.choices(range(count), weights)[0]

    return pick


def voice_picker(rng: Random, voice: str) -> Callable[[int], int]:
    """A `pick` for one answer in a voice: plain speech and its own option alike, others seldom.

    The brackets of a grammar are told apart by their number, which `expand` keeps the same.
    """
    bracket = itertools.count()

    def pick(count: int) -> int:
        own = 1 + zlib.crc32(f"{voice} {next(bracket)}".encode()) % (count - 1)
        weights = [_RARE] * count
        weights[0] = weights[own] = 1.0
        return rng.choices(range(count), weights)[0]

    return pick
