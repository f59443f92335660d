"""Finished parts of an evaluation in files, so that none of them is computed twice.

A part is one decoding pass with its seed and temperature, or the steps of the exposure bias of one
seed. An evaluation that was interrupted, or that is repeated with more seeds, temperatures or
metrics, reads the parts that exist. Each part is one json file:

    FOLDER/PART.json    {"format": 1, "made_with": CHECKSUM, "values": {NAME: LIST, ...}}

Several processes may write to the folder at once, because each process writes a file under a name
of its own and then renames it. Two processes that compute the same part write the same values.
"""

import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from accelerate import PartialState

from minillm.errors import first_line
from minillm.processes import from_main

log = logging.getLogger(__name__)

FORMAT = 1
Values = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """The parts of one model and one data set.

    Attributes:
        folder: the folder of the files, which need not exist.
        made_with: a checksum of everything that the parts depend on, other than their names. Parts
            with another checksum are not used, and are replaced.
        reuse: whether the parts of an earlier evaluation are read.
    """

    folder: Path
    made_with: str
    reuse: bool = True

    def read(self, part: str, needed: Collection[str]) -> Values | None:
        """The values of a part by name; None if no file has them. All processes must call this.

        Args:
            part: name of the file, without its suffix.
            needed: names that the values must have.
        """
        return from_main(partial(self._read, part, needed)) if self.reuse else None

    def write(self, part: str, values: Values) -> None:
        """Write lists by name. If this fails, the evaluation goes on without the file."""
        if not PartialState().is_main_process:
            return
        content = {"format": FORMAT, "made_with": self.made_with, "values": values}
        path = self._file(part)
        temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            log.warning("%s could not be written: %s. The evaluation goes on, but if it is "
                        "interrupted, it computes this part again.",
                        path, first_line(error))  # fmt: skip

    def _file(self, part: str) -> Path:
        return self.folder / f"{part}.json"

    def _read(self, part: str, needed: Collection[str]) -> Values | None:
        path = self._file(part)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            is_usable = content["format"] == FORMAT and content["made_with"] == self.made_with
            is_complete = is_usable and content["values"].keys() >= set(needed)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s is damaged (%s), so it is made again", path, first_line(error))
            return None
        return content["values"] if is_complete else None
