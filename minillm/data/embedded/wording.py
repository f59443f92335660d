"""A grammar of phrasings with one notation: `[often|less often|seldom]`, not nested.

A text such as "[Take|Bring] a [warm|thick] coat." is a distribution over sentences; each bracket is
an independent choice.

The words of instructions, and the grammars of answers, are chosen by Zipf's law: the n-th option
has a weight of n^-1.25. The words of an answer are chosen by a voice. The first option of a bracket
is common speech, which every voice uses most often. For each bracket, each voice has one preferred
option, which it uses second most often. The other options are rare. Answers therefore have many
modes and a long tail, and the voice determines which modes are correct. A model that does not
recognise the voice can average over all voices, which the forward KL favours, or use only common
speech, which the reverse KL favours.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from random import Random

_ZIPF_EXPONENT = 1.25
# Probabilities in a voice: the first option, the preferred option, and all others together.
_COMMON, _PREFERRED, _REST = 0.6, 0.37, 0.03
_BRACKET = re.compile(r"\[([^\[\]]*)\]")

Pick = Callable[[Sequence[str]], int]


def expand(grammar: str, pick: Pick) -> str:
    """Replace every bracket by one of its options, from left to right.

    `pick(options)` returns the index of an option. Then "a" becomes "an" before a vowel, and the
    first letter of every sentence becomes a capital letter.
    """

    def choose(bracket: re.Match) -> str:
        options = bracket[1].split("|")
        return options[pick(options)]

    text = _BRACKET.sub(choose, grammar)
    text = re.sub(r"\b([Aa])(?= [aeiou])", r"\1n", text)
    return re.sub(r"(^|[.!?] )([a-z])", lambda start: start[1] + start[2].upper(), text)


def zipf_picker(rng: Random) -> Pick:
    """A `pick` for `expand` that prefers earlier options, by Zipf's law."""

    def pick(options: Sequence[str]) -> int:
        weights = [rank**-_ZIPF_EXPONENT for rank in range(1, len(options) + 1)]
        return rng.choices(range(len(options)), weights)[0]

    return pick


def voice_picker(rng: Random, voice: str) -> Pick:
    """A `pick` for `expand` with the probabilities of a voice.

    The preferred option of a voice is the same wherever a bracket occurs. A bracket must have at
    least three options.
    """

    def pick(options: Sequence[str]) -> int:
        preferred = 1 + zlib.crc32(f"{voice} {'|'.join(options)}".encode()) % (len(options) - 1)
        weights = [_REST / (len(options) - 2)] * len(options)
        weights[0], weights[preferred] = _COMMON, _PREFERRED
        return rng.choices(range(len(options)), weights)[0]

    return pick
