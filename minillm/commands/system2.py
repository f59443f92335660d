"""`minillm system2`: a model answers slowly, and is trained to give the same answers at once.

    corpus: OUTPUT/{train,validation,test}.jsonl, the training data of a small model that knows both
    ways of answering. The other steps have one folder per task:

    OUTPUT/questions/{train,test}.jsonl    the questions of a task of the project
    OUTPUT/answers/PROGRAM*.jsonl          generate: what the model has written
    OUTPUT/kept/PROGRAM-FILTER/            filter: training data, counts, and samples to read
    OUTPUT/models/NAME/                    train: the run of a distilled model
    OUTPUT/scores/NAME.json                evaluate: scores, with all answers beside them

Each step continues its own interrupted work, and does nothing if its work is done.
"""

import hashlib
import json
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from minillm.commands.model_folder import resolve, with_chat_template
from minillm.commands.prune import check_one_process
from minillm.commands.speakers import speaker_of
from minillm.commands.train import train
from minillm.compose import load_config
from minillm.config import SEED, Config
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError
from minillm.files import read_json, write_json, write_text
from minillm.folders import expand_home
from minillm.models.checksum import weights_checksum
from minillm.runs import SUMMARY, provenance
from minillm.settings.rules import setting
from minillm.settings.section import read_section
from minillm.system2 import filters
from minillm.system2.answering import answer_all
from minillm.system2.answers import read_answers
from minillm.system2.corpus import write_corpus
from minillm.system2.extractors import EXTRACTORS
from minillm.system2.filters import Verdict
from minillm.system2.keeping import Kept, original_answer, outcomes, sample_text, share_right
from minillm.system2.local import rendered
from minillm.system2.programs import PROGRAMS
from minillm.system2.question import Question, read_questions, write_questions
from minillm.system2.run import Trace
from minillm.system2.scores import Scores, score
from minillm.system2.server import ServerSpeaker
from minillm.system2.settings import PREFIX, Study, read_study
from minillm.system2.tasks import TASKS, make_questions

log = logging.getLogger(__name__)

TRAIN, VALIDATION, TEST = "train", "validation", "test"
VALIDATION_SHARE = 0.1  # of the kept answers
DISTILLATION = "system2/sft"  # the experiment of `train` if none is named
COUNTS = "counts.json"
CORPUS = "corpus"


def run_step(step: str, models: Sequence[str], words: Sequence[str]) -> None:
    """Do one step.

    Args:
        step: `corpus`, or a name of `STEPS`.
        models: the model; none for `corpus`.
        words: `key=value`.

    Raises:
        InputError: a word is wrong, or the step takes another number of models.
    """
    if step != "train":
        check_one_process(f"system2 {step}")
    if step == CORPUS:
        if models:
            raise InputError(f"system2 corpus takes no model, but {models[0]} is given.")
        write_corpus_to(words)
        return
    if len(models) != 1:
        raise InputError(
            f"system2 {step} takes one model, but {len(models)} are given. Write `minillm system2 "
            f"{step} MODEL system2=last_letters`. `minillm list system2` lists the tasks."
        )
    STEPS[step](models[0], read_study(words))


def write_corpus_to(words: Sequence[str]) -> None:
    """Write the corpus of a small model that knows both ways of answering.

    Raises:
        InputError: a word is neither `output=FOLDER` nor `system2.seed=NUMBER`.
    """
    output = [word.partition("=")[2] for word in words if word.startswith("output=")]
    own = [word for word in words if not word.startswith("output=")]
    settings = read_section(CorpusConfig, own, "docs/system2.md", PREFIX)
    folder = Path(expand_home(output[-1]) if output else "runs/system2/corpus")
    rows = write_corpus(folder, settings.seed)
    log.info("%s: %s", folder, ", ".join(f"{count} rows in {x}.jsonl" for x, count in rows.items()))


@dataclass
class CorpusConfig:
    """The settings of `minillm system2 corpus`."""

    seed: int = setting(1, **SEED)


def generate(model: str, study: Study) -> None:
    """Answer the training questions, several times each, by the program of System 2.

    Raises:
        InputError: a setting or a file is wrong, or the answers there were made differently.
    """
    config = model_settings(model, study)
    questions = load_questions(study, TRAIN)
    with speaker_of(study, config, study.config.temperature) as load:
        answers = Answers(study, config, load)
        traces = answers.of(questions, study.config.program)
        if study.config.filter == "consistency":
            changed = [other for question in questions for other in question.changed()]
            answers.of(changed, study.config.program, "changed")
        elif study.config.filter == "universal":
            answers.choices(questions, traces)


def keep(model: str, study: Study) -> None:
    """Write the answers that survive the filter as training data.

    Raises:
        InputError: `generate` has not answered all questions, or no answer survives.
    """
    config = model_settings(model, study)
    questions = load_questions(study, TRAIN)
    answers = Answers(study, config, None)
    traces = by_question(answers.of(questions, study.config.program))
    verdicts = judge(study, answers, questions, traces)
    kept = [
        Kept(question, verdict.answer, traces[question.id][verdict.sample])
        for question in questions
        if (verdict := verdicts[question.id]).is_kept
    ]
    folder = kept_folder(study)
    counts = outcomes(verdicts)
    log.info("%s", "\n".join(f"{number:6d} {outcome}" for outcome, number in counts.items()))
    if len(kept) < 2:
        raise InputError(
            f"{len(kept)} of {len(questions)} questions keep an answer, but a training needs at "
            f"least 2. Give another system2.filter, a smaller system2.least_share, or more "
            f"questions."
        )
    read = partial(rendered, data=config.data, tokenizer=tokenizer_of(config.student))
    random.Random(study.config.seed).shuffle(kept)
    held_out = max(1, round(VALIDATION_SHARE * len(kept)))
    for split, rows in ((VALIDATION, kept[:held_out]), (TRAIN, kept[held_out:])):
        write_rows(folder / f"{split}.jsonl", [row.row(read) for row in rows])
    write_text(folder / "samples.md", sample_text(kept, verdicts, questions, traces))
    find = EXTRACTORS[study.config.extractor]
    record = {
        "questions": len(questions),
        "outcomes": counts,
        "kept": len(kept),
        "share_right": share_right(questions, verdicts, find),
        "tokens_per_answer": sum(t.tokens for some in traces.values() for t in some)
        / sum(map(len, traces.values())),
        "settings": asdict(study.config),
        "provenance": provenance(),
    }
    write_json(folder / COUNTS, record)
    log.info("%d of %d answers are kept in %s", len(kept), len(questions), folder)


def distil(model: str, study: Study) -> None:
    """Train the model on the answers that `filter` has kept.

    The settings of the training are those of the experiment, by default `system2/sft`. The teacher
    of a method that has one is the same model behind its System 2 prompt.

    Raises:
        InputError: there are no kept answers, or a setting of the training is wrong.
    """
    folder = kept_folder(study)
    if not (folder / COUNTS).is_file():
        raise InputError(
            f"there are no kept answers in {folder}. Run `minillm system2 filter` with the same "
            f"settings first."
        )
    config = model_settings(model, replace(study, words=[]))
    data = config.data
    own = {
        "experiment": DISTILLATION,
        "data": "jsonl",
        "data.name": study.name,
        "data.path": str(folder),
        "data.validation": f"{VALIDATION}.jsonl",
        "data.test": f"{VALIDATION}.jsonl",
        "data.template": data.template,
        "data.max_prompt_length": data.max_prompt_length,
        "data.max_teacher_prompt_length": data.max_prompt_length + data.max_response_length,
        "data.max_response_length": data.max_response_length,
        "data.special_tokens": str(data.special_tokens).lower(),
        "student.path": config.student.path,
        "resume": "auto",
    }
    given = {word.partition("=")[0] for word in study.words}
    words = [f"{key}={value}" for key, value in own.items() if key not in given]
    settings = load_config([*words, *study.words, "output=runs/unnamed"])
    if settings.method.needs_teacher and "teacher.path" not in given:
        words.append(f"teacher.path={config.student.path}")
    method = settings.method.name
    name = study.config.name or f"{folder.name}-{method}"
    output = study.folder / "models" / name
    if (output / SUMMARY).is_file():
        log.info("%s is already trained", output)
        return
    train(load_config([*words, *study.words, f"output={output}"]))


def evaluate(model: str, study: Study) -> None:
    """Answer the test questions and their changed forms, and write the scores.

    Raises:
        InputError: a setting or a file is wrong, or a question has no known answer.
    """
    config = model_settings(model, study)
    questions = load_questions(study, TEST)
    server = study.config.server.model
    name = study.config.name or f"{Path(server or model).name}-{study.config.program}"
    path = study.folder / "scores" / f"{name}.json"
    everything = [*questions, *(other for question in questions for other in question.changed())]
    made_with = answers_made_with(study, config, everything, study.config.program, samples=1)
    made_with |= {"temperature": 0.0, "extractor": study.config.extractor}
    known = read_json(path)
    if known and known["record"]["made_with"] == made_with:
        log.info("%s: the scores are there", path)
        return
    responses = path.with_suffix(".responses.jsonl")
    responses.unlink(missing_ok=True)  # the time of all answers is measured
    program = PROGRAMS[study.config.program]
    with speaker_of(study, config, 0.0) as load:
        speaker = load()
        start = time.perf_counter()
        traces = answer_all(responses, made_with, everything, 1, program, load)
        seconds = (time.perf_counter() - start) / len(everything)
    record = {"made_with": made_with, "provenance": provenance()}
    if isinstance(speaker, ServerSpeaker):
        record["server"] = speaker.record()
        if speaker.cached:
            seconds = None  # most of the time of a cached answer was spent by an earlier command
    scores = score(
        questions,
        traces,
        study.config.extractor,
        name=name,
        task=study.name,
        program=study.config.program,
        seconds=seconds,
        training=None if server else trained(config),
        record=record,
    )
    write_json(path, scores.to_json())
    log.info("%s", summary(scores))


STEPS = {"generate": generate, "filter": keep, "train": distil, "evaluate": evaluate}


@dataclass
class Answers:
    """The answers of one model in the files of a study.

    Attributes:
        study, config: the settings of System 2 and of the model.
        load: loads what answers; None if all answers must be there.
    """

    study: Study
    config: Config
    load: Any

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


def judge(
    study: Study,
    answers: Answers,
    questions: Sequence[Question],
    traces: dict[str, list[Trace]],
) -> dict[str, Verdict]:
    """The verdict of the filter on each question."""
    own = study.config

    def found(some: Sequence[Trace]) -> list[str | None]:
        return [own.find(trace.text) for trace in some]

    if own.filter == "none":
        return {x.id: filters.first(found(traces[x.id])) for x in questions}
    if own.filter == "universal":
        every = [trace for some in traces.values() for trace in some]
        choices = answers.choices(questions, every)
        return {
            x.id: filters.chosen_by_model(choices[x.id], found(traces[x.id])) for x in questions
        }
    verdicts = {x.id: filters.majority(found(traces[x.id]), own.least_share) for x in questions}
    if own.filter == "consistency":
        changed = [other for question in questions for other in question.changed()]
        others = by_question(answers.of(changed, own.program, "changed"))
        for question in questions:
            mapped = [
                filters.majority(
                    [original_answer(x, question, other) for x in found(others[other.id])],
                    own.least_share,
                )
                for other in question.changed()
            ]
            verdicts[question.id] = filters.consistent(verdicts[question.id], mapped)
    return verdicts


def by_question(traces: Sequence[Trace]) -> dict[str, list[Trace]]:
    """The traces of each question, in the order of their samples."""
    grouped: dict[str, list[Trace]] = {}
    for trace in traces:
        grouped.setdefault(trace.question, []).append(trace)
    return grouped


def model_settings(model: str, study: Study) -> Config:
    """The settings of a model, which has the template of its training or its chat template."""
    config, path, _ = resolve(model, ["teacher.path=null", *study.words])
    return with_chat_template(config, path, study.words)


def load_questions(study: Study, split: str) -> list[Question]:
    """The questions of a split. Those of a task are written to the folder of the study.

    Raises:
        InputError: there are no questions, or the folder has questions of other settings.
    """
    own = study.config
    count = own.train_questions if split == TRAIN else own.test_questions
    if own.path is not None:
        return read_questions(Path(own.path) / f"{split}.jsonl")[:count]
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


def kept_folder(study: Study) -> Path:
    """The folder of the kept answers."""
    return study.folder / "kept" / f"{study.config.program}-{study.config.filter}"


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a jsonl file."""
    write_text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))


def trained(config: Config) -> dict[str, Any] | None:
    """The rows, steps and seconds of the run of a distilled model; None for another model."""
    run = Path(config.student.path).parent
    summary = read_json(run / SUMMARY)
    counts = read_json(Path(config.data.path or "") / COUNTS)
    if summary is None or counts is None:
        return None
    return {
        "method": config.method.name,
        "rows": counts["kept"],
        "outcomes": counts["outcomes"],
        "share_right": counts["share_right"],
        "summary": {key: summary[key] for key in ("seconds", "best_step") if key in summary},
    }


def summary(scores: Scores) -> str:
    """One line for the log."""
    match = scores.exact_match
    parts = [
        f"exact match {match.mean:.1f} [{match.ci_low:.1f}, {match.ci_high:.1f}]",
        f"{scores.tokens.mean:.1f} tokens per answer",
    ]
    if scores.consistency:
        parts.insert(1, f"consistency {scores.consistency.mean:.1f}")
    return f"{scores.task}, {scores.name}: {', '.join(parts)}"
