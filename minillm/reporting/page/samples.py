"""The responses of several methods to the same inputs, for the sample browser of a report."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from minillm.evaluation.result import ROUGE_L, Result
from minillm.reporting.groups import label_results
from minillm.reporting.results import locate_results

log = logging.getLogger(__name__)

# Inputs per data set. 200 inputs with the responses of eight methods take about half a megabyte.
MOST_INPUTS = 200
GREEDY = "greedy"

Key = tuple[str, str, str, int | None, str | None]
# A result file, and the names of its data set and of its model in the browser.
Source = tuple[Path, str, str]


def sources_of(paths: Sequence[Path], results: Sequence[Result]) -> list[Source]:
    """The sources of the results of a report, in their order.

    Args:
        paths: as `load_results` takes them. An earlier report holds no responses.
        results: what `load_results` returns for them.
    """
    files = {_key(result): Path(where) for where, result in reversed(locate_results(paths).items())}
    return [
        (files[_key(result)], result.data, label)
        for result, label in zip(results, label_results(results), strict=True)
    ]


def collect_samples(
    sources: Iterable[Source], most_inputs: int = MOST_INPUTS
) -> dict[str, list[dict[str, Any]]]:
    """The responses to the first inputs of each data set.

    The responses are read from the files beside the result files (`NAME.responses.jsonl`). For each
    model, they are those of greedy decoding and of the first sampling seed; for several training
    runs, those of the first run.

    Args:
        sources: the result files.
        most_inputs: inputs per data set.

    Returns:
        Data set -> inputs. An input has the keys `prompt`, `references` and `responses`: model ->
        decoding (`greedy` or `sampled`) -> `[text, ROUGE-L or None]`. A data set without responses
        is left out.
    """
    data: dict[str, dict[str, dict]] = {}
    done = set()
    for result_file, name, label in sources:
        file = result_file.with_suffix(".responses.jsonl")
        if (name, label) in done or not file.is_file():
            continue
        done.add((name, label))
        inputs = data.setdefault(name, {})
        for row in _rows(file):
            if row["prompt"] not in inputs and len(inputs) >= most_inputs:
                continue
            decoding = GREEDY if row["seed"] == GREEDY else "sampled"
            given = {"prompt": row["prompt"], "references": row["references"], "responses": {}}
            entry = inputs.setdefault(row["prompt"], given)
            by_decoding = entry["responses"].setdefault(label, {})
            by_decoding.setdefault(decoding, [row["response"], row.get(ROUGE_L)])
    return {name: [*inputs.values()] for name, inputs in data.items() if inputs}


def _key(result: Result) -> Key:
    """What tells apart the results of a report."""
    return result.data, result.method, result.model, result.training_seed, result.run_name


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """The responses in a file. A line that is no response is left out, with a warning."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                yield {name: row[name] for name in ("seed", "prompt", "references", "response")} | {
                    ROUGE_L: row.get(ROUGE_L)
                }
            except (ValueError, KeyError, TypeError, AttributeError):
                log.warning("%s, line %d is not a response and is left out of the page", file,
                            number)  # fmt: skip
