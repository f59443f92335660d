"""Reads commands, code and links in the documents."""

import re
import shlex
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
WRONG_INPUT = ROOT / "docs" / "wrong_input.md"  # shows commands that are refused
GUIDES = [README, *sorted({*(ROOT / "docs").glob("*.md")} - {WRONG_INPUT})]
PAGES = [*GUIDES, *sorted((ROOT / "results").rglob("README.md"))]

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.S | re.M)
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def name_of(page: Path) -> str:
    """The path of a page in the checkout, such as `docs/results.md`."""
    return str(page.relative_to(ROOT))


def code_blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [code for name, code in FENCE.findall(page.read_text("utf-8")) if name == language]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def misplaced_code(page: Path) -> list[str]:
    """Commands in indented blocks, and languages of fenced blocks that no test reads."""
    languages = {name for name, _ in FENCE.findall(page.read_text("utf-8"))}
    indented = re.findall(r"^(?: {4}|\t)((?:minillm|bash|python|pip) .*)$", prose(page), re.M)
    return indented + sorted(languages - {"bash", "python", "yaml"})


def inline_code(page: Path) -> list[str]:
    """The code between backticks in the prose of a page, each on one line."""
    spans = re.findall(r"`([^`]+)`", prose(page))
    return list(dict.fromkeys(" ".join(span.split()) for span in spans))


@dataclass(frozen=True)
class Command:
    """One command of a page.

    Attributes:
        page: where the command stands, such as `README.md`.
        words: program and arguments, after the expansion of variables.
        environment: variables that are set for this command only.
    """

    page: str
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return shlex.join(self.words)


def commands(page: Path) -> list[Command]:
    """The commands of the ```bash blocks of a page, in order.

    This reader knows a small part of the shell: comments, quotes, lines that end in a backslash,
    `NAME=VALUE` and `$NAME`. An assignment holds for the rest of the page.

    Raises:
        KeyError: a variable has no value.
        ValueError: a command needs another part of the shell.
    """
    variables, result = {}, []
    for line in "".join(code_blocks(page, "bash")).replace("\\\n", " ").splitlines():
        for name in re.findall(r"\$(\w+)", line):
            line = line.replace(f"${name}", variables[name])
        words = shlex.split(line, comments=True)
        if re.search(r"[|;&<>$]", " ".join(words)):
            raise ValueError(f"{name_of(page)}: this reader cannot read the command {line!r}.")
        if words[:1] == ["export"]:
            words = words[1:]
        assignments = list(takewhile(ASSIGNMENT.match, words))
        values = dict(word.split("=", 1) for word in assignments)
        if len(assignments) == len(words):
            variables |= values
        else:
            result.append(Command(name_of(page), words[len(assignments) :], values))
    return result


def inline_commands(page: Path) -> list[Command]:
    """The commands in the prose of a page."""
    programs = ("minillm ", "python -m ", "pytest ", "bash ")
    spans = [span for span in inline_code(page) if span.startswith(programs)]
    return [Command(name_of(page), shlex.split(span)) for span in spans]


def links(page: Path) -> list[str]:
    """The targets of links and images that are no addresses of the web."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in targets if not re.match(r"\w+:", target)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def table_rows(page: Path) -> list[list[str]]:
    """The cells of all rows of all tables of a page."""
    lines = [line for line in page.read_text("utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
