"""`minillm evaluate`: scores models on a data set and writes a result file for each.

FOLDER/evaluation/DATA.json              scores, and how they were made
FOLDER/evaluation/DATA.MODEL.json        scores of a model of a run other than best
FOLDER/evaluation/DATA.responses.jsonl   every response
FOLDER/evaluation/DATA/*.json            finished parts, which another evaluation reads
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState

from minillm.commands.dry_run import print_evaluation
from minillm.commands.evaluation_jobs import Job, open_jobs, plan_jobs
from minillm.commands.evaluation_store import open_store
from minillm.commands.model_folder import ScoredModel, load_scored_model, trained_run
from minillm.commands.overlap import with_seen_inputs
from minillm.compat.gloo import settle
from minillm.config import Config
from minillm.errors import InputError, WriteError, first_line
from minillm.evaluation.evaluate import Evaluation, evaluate, metric_results, response_rows
from minillm.evaluation.result import Result, Training, to_text
from minillm.evaluation.score_table import score_text
from minillm.files import json_lines, write_all
from minillm.processes import failing_together, from_main
from minillm.runs import provenance
from minillm.runtime import start_processes

log = logging.getLogger(__name__)

# The settings of the training that a result stores: those that tell which method and model it was,
# and whether runs differ only in their seeds.
TRAINING_SECTIONS = ("student", "teacher", "method", "training")


def evaluate_models(folders: Sequence[str], overrides: list[str]) -> None:
    """Score models on the test split. A model that has its result is skipped.

    Args:
        folders: folders of runs, folders of models, or Hub names.
        overrides: settings of the command line, the same for all models.

    Raises:
        InputError: an input is wrong, or another result has the name of a result file. Then nothing
            is scored.
        WriteError: a result could not be written. The message says where the result is instead.
    """
    jobs = plan_jobs(folders, overrides)
    start_processes(jobs[0].config)
    for job in from_main(partial(open_jobs, jobs)):
        _evaluate(job)


def _evaluate(job: Job) -> None:
    """Score one model, and write its result and its responses."""
    config = job.config
    scored = with_seen_inputs(load_scored_model(config, job.path), config.data)
    examples = scored.examples[: config.evaluation.limit]
    if config.evaluation.exposure_samples and scored.teacher is None:
        raise InputError(
            f"evaluation.exposure_samples={config.evaluation.exposure_samples} compares "
            f"{job.folder} with its teacher, but the teacher has another tokenizer. Leave the "
            f"setting out, or name a teacher with the same tokenizer."
        )
    if config.dry_run:
        print_evaluation(config, scored, len(examples), job.file)
        return
    log.info("%s on %s, %d inputs", job.path, config.data.name, len(examples))
    evaluation = evaluate(
        scored.model, scored.teacher, examples, config.evaluation, config.data.max_response_length,
        open_store(job, scored.model, examples),
    )  # fmt: skip
    with failing_together(WriteError):
        if PartialState().is_main_process:
            rows = response_rows(evaluation, examples)
            result = make_result(config, scored, evaluation)
            save({job.file: to_text(result.to_json()), job.responses: json_lines(rows)})
            log.info("\n%s\n\nwritten: %s and %s", score_text(result), job.file, job.responses.name)
    settle()


def save(texts: Mapping[Path, str]) -> None:
    """Write the files. If this fails, write them to a temporary folder, or print the first one.

    Raises:
        WriteError: the message says why, and where the files are instead.
    """
    contents = {path: text.encode() for path, text in texts.items()}
    first = next(iter(texts))
    try:
        write_all(contents)
        return
    except OSError as error:
        reason = f"{first} could not be written: {first_line(error)}. The scores are not lost:"
    try:
        folder = Path(tempfile.mkdtemp(prefix="minillm-"))
        write_all({folder / path.name: content for path, content in contents.items()})
    except OSError:
        print(texts[first], end="", flush=True)
        raise WriteError(
            f"{reason} the text of this file is on the standard output, because the folder for "
            f"temporary files could not be written either. Save the text under this name."
        ) from None
    raise WriteError(
        f"{reason} the files {' and '.join(path.name for path in texts)} are in {folder}. Move "
        f"both to {first.parent}."
    )


def make_result(config: Config, scored: ScoredModel, evaluation: Evaluation) -> Result:
    """The scores, and how they were made."""
    details, summary = scored.details or {}, scored.summary
    training = None
    if summary:
        training = Training(
            seconds=summary["seconds"]["training"],
            seed=details["seed"],
            steps=summary["steps"],
            best_step=details["step"],
            config=_training_config(details),
        )
    return Result(
        data=config.data.name,
        method=config.evaluation.name or details.get("method") or scored.path.name,
        model=scored.model.description,
        parameters=scored.model.parameters,
        inputs=len(scored.examples[: config.evaluation.limit]),
        seeds=list(evaluation.sampled),
        temperature=config.evaluation.temperature,
        metrics=metric_results(evaluation),
        training=training,
        run=trained_run(scored.path),
        wall_seconds=evaluation.seconds,
        provenance=provenance(),
        config=asdict(config),
        frontier=evaluation.frontier,
        exposure_bias=evaluation.exposure_bias,
        seen_in_training=scored.seen_in_training,
    )


def _training_config(details: dict[str, Any]) -> dict[str, Any] | None:
    """The settings of the training that a result stores; None for a model of an older version."""
    config = details.get("config")
    return config and {name: config[name] for name in TRAINING_SECTIONS}
