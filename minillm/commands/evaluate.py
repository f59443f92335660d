"""`minillm evaluate`: scores a model on a data set and writes a result file.

FOLDER/evaluation/DATA.json              scores, and how they were made
FOLDER/evaluation/DATA.responses.jsonl   every response
"""

import json
import logging
from dataclasses import asdict
from pathlib import Path

from accelerate import PartialState

from minillm.commands.model_folder import ScoredModel, load_scored_model, resolve
from minillm.commands.overlap import with_seen_inputs
from minillm.compat.gloo import settle
from minillm.config import Config
from minillm.errors import InputError
from minillm.evaluation.evaluate import Evaluation, evaluate, metric_results, response_rows
from minillm.evaluation.result import Result, Run, Training, to_text
from minillm.evaluation.score_table import score_text
from minillm.files import write_text
from minillm.runs import provenance

log = logging.getLogger(__name__)


def evaluate_model(folder: str, overrides: list[str]) -> Path:
    """Score the model of a folder or Hub name on the test split; return the result file.

    Raises:
        InputError: an input is wrong, or the result file exists.
    """
    config, path, output = resolve(folder, overrides)
    file = output / "evaluation" / f"{config.data.name}.json"
    if file.exists() and not config.overwrite:
        raise InputError(
            f"{file} exists and is not overwritten. Add overwrite=true to replace the file, "
            f"output=FOLDER to write to another folder, or data.name=NAME to rename the data set."
        )
    scored = with_seen_inputs(load_scored_model(config, path), config.data)
    examples = scored.examples[: config.evaluation.limit]
    log.info("%s on %s, %d inputs", path, config.data.name, len(examples))
    evaluation = evaluate(
        scored.model, scored.teacher, examples, config.evaluation, config.data.max_response_length
    )
    if PartialState().is_main_process:
        write(config, scored, evaluation, file)
    PartialState().wait_for_everyone()
    settle()
    return file


def write(config: Config, scored: ScoredModel, evaluation: Evaluation, file: Path) -> None:
    """Write the result file, and the file of all responses."""
    rows = response_rows(evaluation, scored.examples[: config.evaluation.limit])
    responses = file.with_suffix(".responses.jsonl")
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    write_text(responses, "".join(lines))
    result = make_result(config, scored, evaluation)
    write_text(file, to_text(result.to_json()))
    log.info("\n%s\n\nwritten: %s and %s", score_text(result), file, responses.name)


def make_result(config: Config, scored: ScoredModel, evaluation: Evaluation) -> Result:
    """The scores, and how they were made."""
    details, summary = scored.details or {}, scored.summary
    training = run = None
    if summary:
        training = Training(
            seconds=summary["seconds"]["training"],
            seed=details["seed"],
            steps=summary["steps"],
            best_step=details["step"],
        )
        run = Run(details["run"], summary["history"])
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
        run=run,
        wall_seconds=evaluation.seconds,
        provenance=provenance(),
        config=asdict(config),
        frontier=evaluation.frontier,
        seen_in_training=scored.seen_in_training,
    )
