"""Extractors: named functions that find the answer in a text, or None if there is none.

If the text has `Answer:`, in any case and also as `**Answer:**`, only what follows the last one is
read. The functions return the answer in the form in which a model is trained to give it.
`normalised` is for comparisons.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

Extractor = Callable[[str], str | None]

MARKER = re.compile(r"\banswer[*_]*:[*_]*\s*", re.I)
NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)")

# Not the point within a number, and not the sign before it.
PUNCTUATION = re.compile(r"(?!(?<=\d)\.(?=\d)|(?<!\S)-(?=\d))[^\w\s]")


def answer_part(text: str) -> str:
    """The text after the last marker, or the whole text without a marker."""
    return MARKER.split(text)[-1].strip()


def answer_start(text: str, answer: str) -> int:
    """The index in `text` at which an answer starts that an extractor has found there.

    This is the last occurrence of the answer, if possible in the same case: the article in `A is a
    good answer` is not the answer A. An answer that is written differently, such as 1,200 for 1200,
    starts after the last marker.
    """
    for flags in (re.NOFLAG, re.I):
        places = [*re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", text, flags)]
        if places:
            return places[-1].start()
    markers = [*MARKER.finditer(text)]
    return markers[-1].end() if markers else 0


def text(response: str) -> str | None:
    """The first line of the answer, without quotes and a full stop."""
    lines = answer_part(response).splitlines()
    return (lines[0].strip(" \"'*.") or None) if lines else None


def word(response: str) -> str | None:
    """The last word of the first line of the answer, such as that of `Tavek sells honey.`"""
    words = re.findall(r"[^\W\d_]+", text(response) or "")
    return words[-1].lower() if words else None


def letters(response: str) -> str | None:
    """Letters with spaces between them, or the last word, of the first line of the answer."""
    spelled = re.sub(r"[^\w\s]", " ", text(response) or "").lower().split()
    return " ".join(spelled) if _is_spelled(spelled) else word(response)


def _is_spelled(words: Sequence[str]) -> bool:
    """Whether every word is one letter."""
    return bool(words) and all(len(word) == 1 and word.isalpha() for word in words)


def yes_no(response: str) -> str | None:
    """`yes` or `no`; None for a text with both or none of them."""
    found = {word.lower() for word in re.findall(r"\b(?:yes|no)\b", answer_part(response), re.I)}
    return found.pop() if len(found) == 1 else None


def choice(response: str) -> str | None:
    """`A`, `B` or `tie`; None for a text with several or none of them.

    The article in `a better answer` is no choice.
    """
    found = set(re.findall(r"\b(?:A|B)\b|\b[Tt]ie\b", answer_part(response)))
    found = {word if word in "AB" else "tie" for word in found}
    return found.pop() if len(found) == 1 else None


def number(response: str) -> str | None:
    """The last number of the answer, without thousands separators and zeros after the point.

    GSM8K writes `#### 18` at the end of its solutions, which are read correctly, too.
    """
    numbers = NUMBER.findall(answer_part(response))
    if not numbers:
        return None
    value = Decimal(numbers[-1].replace(",", "").replace("−", "-"))
    return f"{value.normalize() + 0:f}"


EXTRACTORS: dict[str, Extractor] = {
    "text": text,
    "word": word,
    "letters": letters,
    "yes_no": yes_no,
    "choice": choice,
    "number": number,
}


def normalised(answer: str) -> str:
    """The form in which answers are compared: no case, punctuation, articles or double spaces.

    This is the normalisation of SQuAD (Rajpurkar et al. 2016, section 6.1). But numbers keep their
    point and sign, and letters with spaces between them are one word.
    """
    words = PUNCTUATION.sub("", answer.casefold()).split()
    if _is_spelled(words):
        return "".join(words)
    return " ".join(word for word in words if word not in ("a", "an", "the")) or answer.casefold()


def is_right(answer: str | None, accepted: tuple[str, ...], extractor: Extractor) -> bool:
    """Whether an answer equals one of the accepted answers.

    An accepted answer may be a whole solution, from which the extractor reads the answer. `word`
    does not, because the last word of an accepted answer is not enough.
    """
    known = {
        normalised(text if extractor is word else extractor(text) or text) for text in accepted
    }
    return answer is not None and normalised(answer) in known
