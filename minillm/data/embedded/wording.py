"""A grammar of phrasings in one notation: `[often|less often|seldom]`, which may be nested.

A text such as "[Take|Bring] [a coat|your [warm|thick] coat]." stands for a distribution over
sentences. Each bracket is an independent choice whose n-th option has a weight of n^-1.25 (Zipf's
law), so that a few sentences are common and the many others form a long tail.
"""

import re
from collections.abc import Callable
from random import Random

_ZIPF_EXPONENT = 1.25
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
