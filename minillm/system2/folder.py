"""The folder of a task: its questions, and the files of answers to the training questions."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minillm.config import Config
from minillm.errors import InputError
from minillm.models.checksum import weights_checksum
from minillm.system2 import filters
from minillm.system2.answering import answer_all
from minillm.system2.answers import read_answers
from minillm.system2.programs import JUDGES, PROGRAMS
from minillm.system2.question import Question, read_questions, write_questions
from minillm.system2.run import Speaker, Trace
from minillm.system2.settings import Study, System2Config
from minillm.system2.tasks import TASKS, make_questions

log = logging.getLogger(__name__)

TRAIN, VALIDATION, TEST = "train", "validation", "test"


def load_questions(study: Study, split: str) -> list[Question]:
    """The questions of a split. Those of a task are written to the folder of the study.

    Raises:
        InputError: there are no questions, the program cannot read them, or the folder has
            questions of other settings.
    """
    own = study.config
    count = own.train_questions if split == TRAIN else own.test_questions
    if own.path is not None:
        return _questions_of_folder(own, split, count)
    path = study.folder / "questions" / f"{split}.jsonl"
    questions = make_questions(TASKS[own.task], split, count, own.seed)
    if not path.exists():
        write_questions(path, questions)
    elif read_questions(path) != questions:
        raise InputError(
            f"{path} has other questions than system2.task={own.task}, system2.{split}_questions="
            f"{count} and system2.seed={own.seed} make. Give another output=FOLDER."
        )
    return questions


def _questions_of_folder(own: System2Config, split: str, count: int) -> list[Question]:
    folder = Path(own.path)
    if not folder.is_dir():
        raise InputError(
            f"system2.path={own.path} is not a folder. Give a folder with train.jsonl and "
            f"test.jsonl."
        )
    path = folder / f"{split}.jsonl"
    questions = read_questions(path)
    if len(questions) > count:
        log.warning(
            "%s: the first %d of %d questions are used; system2.%s_questions=%d uses all",
            path, count, len(questions), split, len(questions),
        )  # fmt: skip
    questions = questions[:count]
    without_pair = [question.id for question in questions if question.candidates is None]
    if without_pair and own.program in JUDGES:
        raise InputError(
            f"{path}: the question {without_pair[0]!r} has no candidates, but system2.program="
            f"{own.program} compares two. Add the column `candidates`, or give another program."
        )
    return questions


def kept_folder(study: Study) -> Path:
    """The folder of the kept answers."""
    return study.folder / "kept" / f"{study.config.program}-{study.config.filter}"


@dataclass
class Answers:
    """The answers of one model in the files of a study.

    Attributes:
        study, config: the settings of System 2 and of the model.
        load: loads what answers; None if all answers must be there.
    """

    study: Study
    config: Config
    load: Callable[[], Speaker] | None

    def of(self, questions: Sequence[Question], program: str, part: str = "") -> list[Trace]:
        """All samples of all questions."""
        samples = self.study.config.samples
        path = self.file(program, part)
        made_with = answers_made_with(self.study, self.config, questions, program, samples)
        return self._all(path, made_with, questions, samples, PROGRAMS[program])

    def choices(self, questions: Sequence[Question], traces: Sequence[Trace]) -> dict[str, str]:
        """For each question, what the model says about its own responses."""
        texts = {key: [t.text for t in some] for key, some in by_question(traces).items()}
        path = self.file(self.study.config.program, "universal")
        made_with = answers_made_with(
            self.study, self.config, questions, f"{self.study.config.program} universal", 1
        )
        chosen = self._all(
            path, made_with, questions, 1, lambda x: filters.universal(x, texts[x.id])
        )
        return {trace.question: trace.text for trace in chosen}

    def _all(self, path: Path, made_with, questions, samples, start) -> list[Trace]:
        if self.load is None:
            done = {(t.question, t.sample) for t in read_answers(path, made_with)}
            missing = len(questions) * samples - len(done)
            if missing:
                raise InputError(
                    f"{path} lacks {missing} of {len(questions) * samples} answers. Run `minillm "
                    f"system2 generate` with the same settings first."
                )
        return answer_all(path, made_with, questions, samples, start, self.load)

    def file(self, program: str, part: str = "") -> Path:
        """The file of the answers of a program to the training questions."""
        return self.study.folder / "answers" / f"{'-'.join(filter(None, (program, part)))}.jsonl"


def answers_made_with(
    study: Study, config: Config, questions: Sequence[Question], program: str, samples: int
) -> dict[str, Any]:
    """The settings that determine answers."""
    text = json.dumps([asdict(question) for question in questions])
    own = study.config
    return {
        **speaker_made_with(study, config),
        "questions": hashlib.sha256(text.encode()).hexdigest()[:16],
        "program": program,
        "samples": samples,
        "temperature": own.temperature,
        "seed": own.seed,
    }


def kept_made_with(study: Study, config: Config, questions: Sequence[Question]) -> dict[str, Any]:
    """The settings that determine which answers are kept."""
    own = study.config
    made_with = answers_made_with(study, config, questions, own.program, own.samples)
    filtered = {name: getattr(own, name) for name in ("filter", "least_share", "extractor")}
    return made_with | filtered


def speaker_made_with(study: Study, config: Config) -> dict[str, Any]:
    """The settings of the model that answers, or of the server.

    With a server, those of the model are null, so that neither reads the answers of the other.
    """
    student, data, server = config.student, config.data, study.config.server
    if server.model is None:
        return {
            "weights": weights_checksum(student.path, student.revision),
            "template": data.template,
            "max_prompt_length": data.max_prompt_length,
            "max_response_length": data.max_response_length,
        }
    asked = {"model": server.model, "max_tokens": server.max_tokens, "body": server.body}
    names = ("weights", "template", "max_prompt_length", "max_response_length")
    return {"server": asked, **dict.fromkeys(names)}


def by_question(traces: Sequence[Trace]) -> dict[str, list[Trace]]:
    """The traces of each question, in the order of their samples."""
    grouped: dict[str, list[Trace]] = {}
    for trace in traces:
        grouped.setdefault(trace.question, []).append(trace)
    return grouped
