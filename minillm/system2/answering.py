"""Answers all questions of a file by one program, resumably."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from minillm.progress import Progress, shown
from minillm.system2.answers import append_answers, begin_answers, only_writer, read_answers
from minillm.system2.programs import Calls
from minillm.system2.question import Question
from minillm.system2.run import Speaker, Trace, run

log = logging.getLogger(__name__)

CHUNK = 256  # programs that run together, and are written together


def answer_all(
    path: Path,
    made_with: dict[str, Any],
    questions: Sequence[Question],
    samples: int,
    start: Callable[[Question], Calls],
    speaker: Callable[[], Speaker],
    *,
    anew: bool = False,
) -> list[Trace]:
    """The traces of all questions, `samples` each, from the file or new.

    Args:
        path: the file of the traces, which is continued.
        made_with: the settings that determine the traces.
        questions: in any order.
        samples: attempts per question.
        start: starts the program on a question.
        speaker: loads the model. It is called only if traces are missing.
        anew: whether to begin the file again instead of continuing it.

    Returns:
        The traces in the order of the questions, and of the attempts.

    Raises:
        InputError: the file was made with other settings, or another command writes it.
    """
    with only_writer(path):
        known = [] if anew else read_answers(path, made_with)
        done = {(trace.question, trace.sample): trace for trace in known}
        wanted = [(question, sample) for question in questions for sample in range(samples)]
        missing = [pair for pair in wanted if (pair[0].id, pair[1]) not in done]
        if not missing:
            log.info("%s: all %d answers are there", path, len(wanted))
        else:
            log.info("%s: %d of %d answers are missing", path, len(missing), len(wanted))
            loaded = speaker()
            begin_answers(path, made_with, done.values())
            progress = Progress("answers", len(wanted), "answers", len(done))
            with shown(progress, delay=1.0):
                for traces in _chunks(missing, start, loaded):
                    append_answers(path, traces)
                    done |= {(trace.question, trace.sample): trace for trace in traces}
                    progress.advance(len(traces))
        return [done[question.id, sample] for question, sample in wanted]


def _chunks(
    missing: Sequence[tuple[Question, int]], start: Callable[[Question], Calls], speaker: Speaker
) -> Iterator[list[Trace]]:
    """The traces of `CHUNK` attempts at a time."""
    for begin in range(0, len(missing), CHUNK):
        chunk = missing[begin : begin + CHUNK]
        yield run([(question.id, sample, start(question)) for question, sample in chunk], speaker)
