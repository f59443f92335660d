"""A metric that is not part of the package."""

from collections.abc import Sequence

import numpy as np

from minillm.data.encoding import Example
from minillm.evaluation.metrics import Metric
from minillm.evaluation.responses import Responses


class Letters(Metric):
    """Number of letters of a response; fewer are better, and long responses have more weight."""

    name = "letterCount"
    label = "letters"
    unit = "letters per response"
    description = "letters of a response, weighed by its tokens"
    form = ".2f"
    higher_is_better = False

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray:
        return np.array([float(len(text)) for text in responses.texts])

    def weights(self, responses: Responses) -> np.ndarray:
        return responses.lengths.astype(np.float64)
