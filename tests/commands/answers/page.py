"""The page docs/wrong_input.md: all tables of wrong input, readable as documentation."""

from collections.abc import Mapping, Sequence

from tests.commands.answers.case import Case

START = """\
# Wrong input and its answers

The tests run every command of this page in a folder that holds `my_data` (two jsonl files), the run
`runs/teacher` and an empty folder `a=b`. The answer is the first line of the standard error; `...`
stands for text that is left out here. No command of this page writes or deletes a file. Exit
status 2 means wrong input; `minillm --help` explains the others.
"""


def page(tables: Mapping[str, Sequence[Case]]) -> str:
    """The text of the page, with one section per table."""
    return "\n".join([START, *(_section(title, cases) for title, cases in tables.items())])


def _section(title: str, cases: Sequence[Case]) -> str:
    rows = [f"## {title}", "", "| given | answer | status |", "|---|---|---:|"]
    for case in cases:
        variables = "".join(f"{name}={value} " for name, value in case.variables)
        given = _code(f"{variables}minillm {case.given}".rstrip())
        if case.note:
            given += f" ({case.note})"
        rows.append(f"| {given} | {_code(case.answer)} | {case.status} |")
    return "\n".join(rows) + "\n"


def _code(text: str) -> str:
    """A text as code in a cell of a table. Text with backticks needs two of them around it."""
    text = text.replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"
