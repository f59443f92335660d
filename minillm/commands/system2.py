"""`minillm system2`: a model answers slowly, and is trained to give the same answers at once.

    corpus: OUTPUT/{train,validation,test}.jsonl, the training data of a small model that knows both
    ways of answering. The other steps have one folder per task:

    OUTPUT/questions/{train,test}.jsonl    the questions of a task of the project
    OUTPUT/answers/PROGRAM*.jsonl          generate: what the model has written
    OUTPUT/kept/PROGRAM-FILTER/            filter: training data, counts, and samples to read
    OUTPUT/models/NAME/                    train: the run of a distilled model, and NAME.kept.json
                                           beside it: the counts of its training data
    OUTPUT/scores/NAME.json                evaluate: scores, with all answers beside them

Each step continues its own interrupted work, and does nothing if its work is done. Only evaluate
begins again after an interruption, because it measures the time of all answers.
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
from minillm.data.token_ids import encode_prompts
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError
from minillm.files import read_json, write_json, write_text
from minillm.folders import expand_home
from minillm.runs import SUMMARY, provenance
from minillm.servers.access import read_access
from minillm.settings.rules import setting
from minillm.settings.section import read_section
from minillm.system2.answering import answer_all
from minillm.system2.corpus import write_corpus
from minillm.system2.extractors import EXTRACTORS
from minillm.system2.folder import (
    TEST,
    TRAIN,
    VALIDATION,
    Answers,
    answers_made_with,
    by_question,
    kept_folder,
    load_questions,
)
from minillm.system2.keeping import Kept, outcomes, sample_text, share_right, verdicts_of
from minillm.system2.local import rendered
from minillm.system2.programs import PROGRAMS
from minillm.system2.scores import Scores, score
from minillm.system2.server import ServerSpeaker
from minillm.system2.settings import PREFIX, Study, read_study

log = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1  # of the kept answers
DISTILLATION = "system2/sft"  # the experiment of `train` if none is named
COUNTS = "counts.json"
LONGEST = "longest_teacher_prompt"  # in tokens, in counts.json
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
    study = read_study(words)
    asks = step in ("generate", "evaluate") and study.config.server.model is not None
    if asks and not study.folder.exists():
        read_access()  # refuses a wrong address before the questions are written
    STEPS[step](models[0], study)


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
    verdicts = verdicts_of(answers, questions, traces)
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
    tokenizer = tokenizer_of(config.student)
    read = partial(rendered, data=config.data, tokenizer=tokenizer)
    random.Random(study.config.seed).shuffle(kept)
    rows = [each.row(read) for each in kept]
    held_out = max(1, round(VALIDATION_SHARE * len(kept)))
    for split, some in ((VALIDATION, rows[:held_out]), (TRAIN, rows[held_out:])):
        lines = [json.dumps(row, ensure_ascii=False) for row in some]
        write_text(folder / f"{split}.jsonl", "\n".join([*lines, ""]))
    teacher_prompts = [row["teacher_prompt"] for row in rows]
    lengths = map(
        len, encode_prompts(teacher_prompts, tokenizer, config.data, config.data.template)
    )
    write_text(folder / "samples.md", sample_text(kept, verdicts, questions, traces))
    find = EXTRACTORS[study.config.extractor]
    record = {
        "questions": len(questions),
        "outcomes": counts,
        "kept": len(kept),
        "share_right": share_right(questions, verdicts, find),
        LONGEST: max(lengths),
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
        InputError: there are no kept answers, a run of this name was trained on other answers, or a
            setting of the training is wrong.
    """
    folder = kept_folder(study)
    counts = read_json(folder / COUNTS)
    files = [folder / f"{split}.jsonl" for split in (TRAIN, VALIDATION)]
    if counts is None or not all(file.is_file() for file in files):
        raise InputError(
            f"there are no kept answers in {folder}. Run `minillm system2 filter` with the same "
            f"settings first."
        )
    rows = b"".join(file.read_bytes() for file in files)
    counts["checksum"] = hashlib.sha256(rows).hexdigest()[:16]
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
        "data.max_teacher_prompt_length": max(data.max_prompt_length, counts[LONGEST]),
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
    record = record_of_kept(output)
    known = read_json(record)
    if known is None:
        write_json(record, counts)
    elif known["checksum"] != counts["checksum"]:
        raise InputError(
            f"{output} was trained on other answers than those that are in {folder} now. Give "
            f"another system2.name, or delete {output} and {record}."
        )
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


def model_settings(model: str, study: Study) -> Config:
    """The settings of a model, which has the template of its training or its chat template."""
    config, path, _ = resolve(model, ["teacher.path=null", *study.words])
    return with_chat_template(config, path, study.words)


def trained(config: Config) -> dict[str, Any] | None:
    """The rows, steps and seconds of the run of a distilled model; None for another model."""
    run = Path(config.student.path).parent
    summary = read_json(run / SUMMARY)
    counts = read_json(record_of_kept(run))
    if summary is None or counts is None:
        return None
    return {
        "method": config.method.name,
        "rows": counts["kept"],
        "outcomes": counts["outcomes"],
        "share_right": counts["share_right"],
        "summary": {key: summary[key] for key in ("seconds", "best_step") if key in summary},
    }


def record_of_kept(run: Path) -> Path:
    """The file beside a run that has the counts of its training data."""
    return run.with_name(f"{run.name}.kept.json")


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
