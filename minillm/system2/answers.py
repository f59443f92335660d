"""Files of answers: one trace per line, after a line with the settings that made them.

A file that an interruption has cut off is continued.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minillm.errors import InputError, first_line
from minillm.files import json_lines, write_text
from minillm.system2.run import Trace

ADVICE = "Give another output=FOLDER, or delete the file to write it again."
# What a setting of the first line is called in messages, if its value says nothing to a reader.
CHECKSUMS = {"weights": "another model", "questions": "other questions"}


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock of a file of answers.

    Raises:
        InputError: another command holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another command writes {path}. Wait until it has ended, or give another "
                f"output=FOLDER."
            ) from None
        yield


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
        lines = path.read_bytes().split(b"\n")[:-1]
        header, *rows = [json.loads(line) for line in lines]
        traces = [Trace.from_json(row) for row in rows]
        changed = differences(header, made_with or header)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {first_line(error)}. {ADVICE}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not hold answers. {ADVICE}") from error
    if changed:
        raise InputError(f"{path} holds answers that were made with {changed}. {ADVICE}")
    return traces


def differences(known: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs between the settings of answers and those of a command; empty if nothing does.

    Raises:
        AttributeError: `known` is no dictionary.
    """
    changed = [key for key in now if known.get(key) != now[key]]
    return ", ".join(
        CHECKSUMS.get(key, f"{key}={known.get(key)} (now {now[key]})") for key in changed
    )


def begin_answers(path: Path, made_with: dict[str, Any], traces: Iterable[Trace]) -> None:
    """Replace the file by one with these traces."""
    rows = [made_with, *(trace.to_json() for trace in traces)]
    write_text(path, json_lines(rows))


def append_answers(path: Path, traces: Iterable[Trace]) -> None:
    """Add traces at the end of the file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json_lines(trace.to_json() for trace in traces))
