"""The interface of a metric, see `metrics.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minillm.evaluation.responses import Responses

if TYPE_CHECKING:  # a report must not import transformers
    from minillm.data.encoding import Example


class Metric:
    """The names of a metric, its form in tables, and its computation.

    Attributes:
        name: name in settings, result files, the csv and `metrics.jsonl` (as `validation/NAME`).
        label: name in tables and figures.
        unit: unit of the values.
        description: meaning of the number, for the legend of a table.
        form: format of the number in tables and figures.
        higher_is_better: None for a metric that describes responses without judging them. Such a
            metric cannot select a checkpoint, and tables mark no best value.
        needs_teacher: whether the metric is None without a teacher that shares the tokenizer.
        is_cheap: whether validation and evaluation compute the metric by default. An expensive
            metric is computed only by an evaluation whose `evaluation.metrics` names it.
        always_shown: whether the table of a report shows the mean beside the chosen metrics.
        looks_at_all: whether the value of a response depends on the other responses, so that a
            process must have all responses.
        reads_references: whether the value depends on the model and the gold responses only. Then
            it is the same for all sampling seeds, and there is none for greedy decoding.
        needs_labels: whether the metric needs the label words of `data.labels`.
        needs_judge: whether `minillm judge` computes the metric, and no evaluation can.
    """

    name: str
    label: str
    unit: str
    description: str
    form: str = ".1f"
    higher_is_better: bool | None = None
    needs_teacher: bool = False
    is_cheap: bool = True
    always_shown: bool = False
    looks_at_all: bool = False
    reads_references: bool = False
    needs_labels: bool = False
    needs_judge: bool = False

    @property
    def axis_label(self) -> str:
        """The label with the unit, for the axis of a figure."""
        return f"{self.label} ({self.unit})"

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray | None:
        """Value of each response `[N]`, or None if the metric cannot be computed."""
        raise NotImplementedError

    def weights(self, responses: Responses) -> np.ndarray | None:
        """Weight of each response `[N]` in the mean; None for equal weights."""
        return None
