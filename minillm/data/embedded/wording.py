"""A grammar of phrasings in one notation: `[often|less often|seldom]`, not nested.

A text such as "[Take|Bring] a [warm|thick] coat." stands for a distribution over sentences; each
bracket is an independent choice.

Instructions, and the plans of answers, choose by Zipf's law: the n-th option has a weight of
n^-1.25. The words of an answer are chosen in a voice. The first option of a bracket is common
speech, which every voice uses most; each voice has, for each bracket, another option that it likes
almost as well; the rest is rare. So answers have many modes and a long tail, and which of the modes
are right depends on who speaks. A model that does not find that out can blur the voices into one,
as the forward KL asks for, or keep to common speech, as the reverse KL does.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from random import Random

_ZIPF_EXPONENT = 1.25
_COMMON, _OWN, _REST = 0.6, 0.37, 0.03  # shares of a voice's words; the rest have theirs together
_BRACKET = re.compile(r"\[([^\[\]]*)\]")

Pick = Callable[[Sequence[str]], int]


def expand(grammar: str, pick: Pick) -> str:
    """Replaces every bracket by one of its options, from the left.

    `pick(options)` returns the index of the one to take. Afterwards the text is made a proper
    sentence: "a" becomes "an" before a vowel, and the first letter of every sentence a capital.
    """

    def choose(bracket: re.Match) -> str:
        options = bracket[1].split("|")
        return options[pick(options)]

    text = _BRACKET.sub(choose, grammar)
    text = re.sub(r"\b([Aa])(?= [aeiou])", r"\1n", text)
    return re.sub(r"(^|[.!?] )([a-z])", lambda start: start[1] + start[2].upper(), text)


def zipf_picker(rng: Random) -> Pick:
    """A `pick` for `expand` that prefers the earlier options by Zipf's law."""

    def pick(options: Sequence[str]) -> int:
        weights = [rank**-_ZIPF_EXPONENT for rank in range(1, len(options) + 1)]
        return rng.choices(range(len(options)), weights)[0]

    return pick


def voice_picker(rng: Random, voice: str) -> Pick:
    """A `pick` for the words of a voice: common speech, its own option, seldom another.

    A voice keeps its own option of a bracket wherever the bracket occurs. Brackets have at least
    three options.
    """

    def pick(options: Sequence[str]) -> int:
        own = 1 + zlib.crc32(f"{voice} {'|'.join(options)}".encode()) % (len(options) - 1)
        weights = [_REST / (len(options) - 2)] * len(options)
        weights[0], weights[own] = _COMMON, _OWN
        return rng.choices(range(len(options)), weights)[0]

    return pick
