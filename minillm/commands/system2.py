"""`minillm system2`: a model answers slowly, and is trained to give the same answers at once.

    corpus: OUTPUT/{train,validation,test}.jsonl, the training data of a small model that knows both
    ways of answering. The other steps have one folder per task:

    OUTPUT/questions/{train,test}.jsonl    the questions of a task of the project
    OUTPUT/answers/PROGRAM*.jsonl          generate: what the model has written
    OUTPUT/kept/PROGRAM-FILTER/            filter: training data, counts, and samples to read
    OUTPUT/models/NAME/                    train: the run of a distilled model, and NAME.kept.json
                                           beside it: the counts of its training data
    OUTPUT/scores/NAME.json                evaluate: scores, with all answers beside them

generate and train continue their own interrupted work, and do nothing if their work is done. filter
takes seconds and always writes its files again. evaluate begins again after an interruption,
because it measures the time of all answers.
"""

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minillm.commands.model_folder import model_name
from minillm.commands.prune import check_one_process
from minillm.commands.saved_settings import run_of
from minillm.commands.speakers import speaker_of
from minillm.commands.system2_train import (
    COUNTS,
    LONGEST,
    MADE_WITH,
    distil,
    model_settings,
    trained,
)
from minillm.config import SEED, Config
from minillm.data.token_ids import encode_prompts
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError
from minillm.files import (
    check_new_folder,
    check_writable,
    json_lines,
    read_json,
    write_json,
    write_text,
)
from minillm.folders import expand_home
from minillm.runs import provenance
from minillm.servers.access import read_access
from minillm.settings.rules import setting
from minillm.settings.section import read_section
from minillm.system2.answering import answer_all
from minillm.system2.answers import differences
from minillm.system2.corpus import write_corpus
from minillm.system2.folder import (
    TEST,
    TRAIN,
    VALIDATION,
    Answers,
    answers_made_with,
    by_question,
    kept_folder,
    kept_made_with,
    load_questions,
)
from minillm.system2.keeping import Kept, outcomes, sample_text, share_right, verdicts_of
from minillm.system2.local import rendered
from minillm.system2.programs import PROGRAMS
from minillm.system2.question import Question
from minillm.system2.run import Trace
from minillm.system2.scores import Scores, check_answers, score
from minillm.system2.server import ServerSpeaker
from minillm.system2.settings import PREFIX, Study, read_study

log = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1  # of the kept answers
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
    check_writable(study.folder, f"output={study.folder}", "Give another output=FOLDER.")
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
    check_new_folder(folder, f"output={folder}")
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
    longest = _write_rows(study, config, kept)
    write_text(folder / "samples.md", sample_text(kept, verdicts, questions, traces))
    record = {
        "questions": len(questions),
        "outcomes": counts,
        "kept": len(kept),
        "share_right": share_right(questions, verdicts, study.config.find),
        LONGEST: longest,
        "tokens_per_answer": sum(t.tokens for some in traces.values() for t in some)
        / sum(map(len, traces.values())),
        MADE_WITH: kept_made_with(study, config, questions),
        "provenance": provenance(),
    }
    write_json(folder / COUNTS, record)
    log.info("%d of %d answers are kept in %s", len(kept), len(questions), folder)


def _write_rows(study: Study, config: Config, kept: list[Kept]) -> int:
    """Write the data of training and validation; returns the longest teacher prompt in tokens."""
    tokenizer = tokenizer_of(config.student)
    read = partial(rendered, data=config.data, tokenizer=tokenizer)
    random.Random(study.config.seed).shuffle(kept)
    rows = [each.row(read) for each in kept]
    held_out = max(1, round(VALIDATION_SHARE * len(kept)))
    for split, some in ((VALIDATION, rows[:held_out]), (TRAIN, rows[held_out:])):
        write_text(kept_folder(study) / f"{split}.jsonl", json_lines(some))
    prompts = [row["teacher_prompt"] for row in rows]
    ids = encode_prompts(prompts, tokenizer, config.data, config.data.template)
    return max(map(len, ids))


def evaluate(model: str, study: Study) -> None:
    """Answer the test questions and their changed forms, and write the scores.

    Raises:
        InputError: a setting or a file is wrong, a question has no known answer, or the scores
            there are those of another model or of other settings.
    """
    config = model_settings(model, study)
    questions = load_questions(study, TEST)
    check_answers(questions)
    name = study.config.name or default_name(study, config)
    path = study.folder / "scores" / f"{name}.json"
    everything = [*questions, *(other for question in questions for other in question.changed())]
    made_with = answers_made_with(study, config, everything, study.config.program, samples=1)
    made_with |= {"temperature": 0.0, "extractor": study.config.extractor}
    known = read_json(path)
    if known:
        changed = differences(known["record"][MADE_WITH], made_with)
        if changed:
            raise InputError(
                f"{path} holds scores that were made with {changed}. Give another system2.name, or "
                f"delete the file to evaluate again."
            )
        log.info("%s: the scores are there", path)
        return
    traces, seconds, record = _answer_test(study, config, path, everything, made_with)
    scores = score(
        questions,
        traces,
        study.config.find,
        name=name,
        task=study.name,
        program=study.config.program,
        seconds=seconds,
        training=None if study.config.server.model else trained(config),
        record={MADE_WITH: made_with, "provenance": provenance(), **record},
    )
    write_json(path, scores.to_json())
    log.info("%s", summary(scores))


def _answer_test(
    study: Study, config: Config, path: Path, questions: Sequence[Question], made_with: dict
) -> tuple[list[Trace], float | None, dict[str, Any]]:
    """The traces of all questions, seconds per answer, and what the speaker says about them."""
    responses = path.with_suffix(".responses.jsonl")
    program = PROGRAMS[study.config.program]
    with speaker_of(study, config, 0.0) as load:
        speaker = load()
        start = time.perf_counter()
        # The time of all answers is measured, so that those of an earlier command are not used.
        traces = answer_all(responses, made_with, questions, 1, program, load, anew=True)
        seconds = (time.perf_counter() - start) / len(questions)
    if not isinstance(speaker, ServerSpeaker):
        return traces, seconds, speaker.record()
    # Most of the time of a cached answer was spent by an earlier command.
    return traces, None if speaker.cached else seconds, {"server": speaker.record()}


def default_name(study: Study, config: Config) -> str:
    """The name of a model in tables: that of its run, its folder or the server, and the program."""
    if study.config.server.model:
        parts = [Path(study.config.server.model).name]
    else:
        path = Path(config.student.path)
        run = run_of(path)
        parts = [run.name, model_name(path)] if run else [path.name]
    return "-".join(filter(None, (*parts, study.config.program)))


STEPS = {"generate": generate, "filter": keep, "train": distil, "evaluate": evaluate}


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
