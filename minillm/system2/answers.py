"""Files of answers: one trace per line, after a line with the settings that made them.

A file that an interruption has cut off is continued.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minillm.errors import InputError, first_line
from minillm.files import write_text
from minillm.system2.run import Trace

ADVICE = "Give another output=FOLDER, or delete the file to write it again."


def read_answers(path: Path, made_with: dict[str, Any] | None = None) -> list[Trace]:
    """The traces of a file, without a last line that an interruption has cut off.

    Args:
        path: the file, which need not exist.
        made_with: the settings that the traces must have; None for any settings.

    Raises:
        InputError: the file was made with other settings, or holds something else.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        header, *rows = [json.loads(line) for line in lines]
        traces = [Trace.from_json(row) for row in rows]
        changed = [key for key in made_with or () if header.get(key) != made_with[key]]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {first_line(error)}. {ADVICE}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not hold answers. {ADVICE}") from error
    if changed:
        raise InputError(
            f"{path} holds answers that were made with other settings: "
            f"{', '.join(f'{key} was {header.get(key)!r}' for key in changed)}. {ADVICE}"
        )
    return traces


def begin_answers(path: Path, made_with: dict[str, Any], traces: Iterable[Trace]) -> None:
    """Write the file anew, with the traces that are whole."""
    rows = [made_with, *(trace.to_json() for trace in traces)]
    write_text(path, "".join(map(_line, rows)))


def append_answers(path: Path, traces: Iterable[Trace]) -> None:
    """Add traces at the end of the file."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(_line(trace.to_json()) for trace in traces)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
