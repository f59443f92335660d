"""The source of SeqKD: responses that the teacher samples (Kim and Rush, arXiv 1606.07947).

The responses are written to a jsonl file, batch by batch. The first line of the file contains the
settings with which the responses were made, and a checksum of the teacher's weights. A run uses a
complete file, and continues an incomplete file. All processes sample responses; only the main
process reads and writes the file.
The tokenizers of teacher and student may differ. Then the student's tokenizer encodes the text of
each response again.
"""

import hashlib
import json
import logging
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from minillm.config import Config
from minillm.data.encoding import Example
from minillm.data.token_ids import encode_responses, response_limit
from minillm.errors import InputError, TrainingError, first_line
from minillm.files import check_writable, json_lines, write_text
from minillm.models.checksum import weights_checksum
from minillm.models.language_model import LanguageModel
from minillm.processes import failing_together, gathered, share
from minillm.progress import responses_shown
from minillm.sampling.generate import WINDOW, generate, length_batches, response_texts
from minillm.sampling.sampler import Decoding
from minillm.sources.pairs import Pair
from minillm.training.setup import Setup

log = logging.getLogger(__name__)


def check_response_file(config: Config) -> None:
    """Refuse a `method.file` that cannot be written, before anything is loaded.

    Raises:
        InputError: the file is a folder, or its folder cannot be written.
    """
    if config.method.response_file is None:
        return
    path = Path(config.method.response_file)
    if os.path.isdir(path):
        raise InputError(f"method.file={path} is a folder. Give method.file=FILE.")
    if not os.path.lexists(path):
        check_writable(path.parent, f"method.file={path}", "Give another method.file=FILE.")


def teacher_pairs(setup: Setup) -> list[Pair]:
    """Each training prompt with `samples_per_prompt` responses of the teacher, from the file.

    Raises:
        InputError: the file was made by another teacher, or with other settings.
        TrainingError: the file could not be written.
    """
    method = setup.config.method
    examples = setup.train * method.samples_per_prompt
    prompts = [x.teacher_prompt_ids or x.prompt_ids for x in examples]
    batches = length_batches(prompts, _rows_per_write(setup, len(prompts)))
    order = [i for batch in batches for i in batch]  # of the rows in the file
    made_with = {
        "teacher": setup.config.teacher.path,
        "data": setup.config.data.name,
        "prompts": len(prompts),
        "prompts_checksum": hashlib.sha256(json.dumps(prompts).encode()).hexdigest()[:16],
        "temperature": method.temperature,
        "max_response_length": setup.config.data.max_response_length,
        "seed": setup.seed("seqkd"),
    }
    path, rows = Path(method.file), None
    with failing_together(InputError):
        if PartialState().is_main_process:
            made_with["teacher_weights"] = weights_checksum(
                setup.config.teacher.path, setup.config.teacher.revision
            )
            rows = _read(path, made_with, [prompts[i] for i in order])
    (rows,) = broadcast_object_list([rows])
    ends = list(accumulate(map(len, batches)))
    done = bisect_right(ends, len(rows))  # complete batches
    rows = rows[: ends[done - 1] if done else 0]
    if done == len(batches):
        log.info("SeqKD: %d responses of the teacher read from %s", len(rows), path)
    else:
        log.info("SeqKD: the teacher writes %d responses to %s. After an interruption, the same "
                 "command continues the file.", len(prompts) - len(rows), path)  # fmt: skip
        rows += _write(setup, path, made_with, rows, prompts, batches[done:])
    return [_pair(setup, examples[i], row) for i, row in zip(order, rows, strict=True)]


def _rows_per_write(setup: Setup, prompts: int) -> int:
    """Responses that a process samples before they are written, so that all processes have some.

    The order of the rows in the file does not depend on this number.
    """
    size = setup.config.method.generation_batch_size
    return min(WINDOW * size, max(size, -(-prompts // setup.world)))


def _pair(setup: Setup, example: Example, row: dict) -> Pair:
    """A row of the file as a pair with the student's token ids."""
    ids = row["response_ids"]
    if not setup.shared_tokenizer:
        has_ended = ids[-1] in setup.teacher.sampler.eos_ids
        data = setup.config.data
        pair = (example.prompt, row["response"])
        (response,) = encode_responses([pair], setup.student.tokenizer, data)
        ids = response.ids if has_ended else response.ids[:-1] or response.ids
        ids = ids[: response_limit(data, example.prompt_ids)]
    return Pair(example.prompt_ids, ids, example.teacher_prompt_ids)


def _read(path: Path, made_with: dict, prompts: list) -> list[dict]:
    """The complete rows of the file, without a last line that an interruption has cut off.

    Args:
        path: the file.
        made_with: its first line.
        prompts: of its rows, in their order.
    """
    if not path.exists():
        return []
    advice = "Give method.file=OTHER_FILE, or delete the file to write it again."
    try:
        # Only "\n" ends a line, because JSON strings may contain other line breaks of Unicode.
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        header, *rows = [json.loads(line) for line in lines]
        if "teacher" not in header:
            raise ValueError
        # The path of the teacher may change. A file of an older version has only the path.
        unused = "teacher" if "teacher_weights" in header else "teacher_weights"
        changed = [key for key in made_with if header.get(key) != made_with[key] and key != unused]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {first_line(error)}. {advice}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} does not contain teacher responses. {advice}") from error
    if {"teacher", "teacher_weights"} & {*changed}:
        differ = "differ" if "teacher_weights" in changed else "may differ"
        raise InputError(
            f"{path} contains responses of another teacher: the weights of "
            f"teacher.path={made_with['teacher']} {differ} from those that wrote the file, which "
            f"were in {header['teacher']} at that time. {advice}"
        )
    if changed:
        raise InputError(
            f"{path} contains teacher responses that were made with other settings "
            f"({', '.join(changed)} differ). {advice}"
        )
    for line, (row, prompt) in enumerate(zip(rows, prompts, strict=False), start=2):
        if row.get("prompt_ids") != prompt:
            raise InputError(
                f"{path}, line {line} is not the response to prompt {line - 1}. Perhaps two runs "
                f"wrote the file at the same time. {advice}"
            )
    return rows


def _write(
    setup: Setup, path: Path, made_with: dict, rows: list[dict], prompts: list, batches: list
) -> list[dict]:
    """Write the existing `rows`, sample and append the rows of `batches`, and return these."""
    is_main = PartialState().is_main_process
    new_rows = []
    with _writing(path):
        if is_main:
            write_text(path, json_lines([made_with, *rows]))
    progress = responses_shown("teacher", len(prompts), done=len(rows), delay=0)
    with setup.teacher.sampler.whole() as teacher, progress:
        for start in range(0, len(batches), setup.world):  # one batch per process
            with failing_together(FloatingPointError):
                written = [_respond(setup, teacher, prompts, batch, made_with["seed"])
                           for batch in share(batches[start : start + setup.world])]  # fmt: skip
            added = [row for batch in gathered(written) for row in batch]
            new_rows += added
            with _writing(path):
                if is_main:
                    with path.open("a", encoding="utf-8") as file:
                        file.write(json_lines(added))
    return new_rows


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """If the main process cannot write the file, all processes raise the error."""
    with failing_together(TrainingError):
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{path} could not be written: {first_line(error)}. The responses in this file are "
                f"kept. Remove the cause, then run the same command again: the teacher writes only "
                f"the missing responses."
            ) from error


def _respond(
    setup: Setup, teacher: LanguageModel, prompts: list, indices: list[int], seed: int
) -> list[dict]:
    """Sample the responses of the prompts at `indices`; one row of the file per prompt."""
    decoding = Decoding(setup.config.data.max_response_length, setup.config.method.temperature)
    rows = {}
    size = setup.config.method.generation_batch_size
    for some, rollout in generate(
        teacher, prompts, decoding, batch_size=size, seed=seed, indices=indices
    ):
        responses = rollout.responses
        texts = response_texts(teacher, responses)
        for i, ids, text in zip(some, responses, texts, strict=True):
            rows[i] = {"prompt_ids": prompts[i], "response_ids": ids, "response": text}
    return [rows[i] for i in indices]
