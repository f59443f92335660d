"""The interface of a teacher, which scores batches and may change during training."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from minillm.data.batches import SequenceBatch
from minillm.models.language_model import LanguageModel
from minillm.objectives.targets import Targets


@dataclass(frozen=True)
class Scores:
    """The scores of a teacher for a batch of prompts and responses.

    Attributes:
        targets: distributions for the B * T response tokens, row by row.
        states: outputs `[B, T, d]` of the requested decoder layers, by layer.
    """

    targets: Targets
    states: dict[int, Tensor] = field(default_factory=dict)


class Teacher(Protocol):
    """Scores the tokens of responses, without gradient."""

    @property
    def models(self) -> tuple[LanguageModel, ...]:
        """The language models of the teacher."""
        ...

    @property
    def sampler(self) -> LanguageModel | None:
        """The model that samples for the teacher; None if no single model has its distribution."""
        ...

    def score(self, sequences: SequenceBatch, layers: Sequence[int] = ()) -> Scores:
        """Score the response tokens in one forward pass per model.

        Args:
            sequences: the teacher's prompts and the responses.
            layers: decoder layers whose outputs are also returned.
        """
        ...

    def exact(self) -> "Teacher":
        """The teacher with whole distributions, without `top_k`, for evaluation."""
        ...

    def whole(self) -> AbstractContextManager["Teacher"]:
        """The teacher with complete weights, for several calls of `score`.

        All processes must enter this context together, see `LanguageModel.whole`.
        """
        ...

    def replace_models(self, change: Callable[[LanguageModel], LanguageModel]) -> "Teacher":
        """The teacher with `change(model)` instead of each model, such as a sharded model."""
        ...

    def after_step(self, student: LanguageModel, step: int) -> None:
        """Called on all processes after optimiser step number `step` (from 1).

        The default is that of frozen models: nothing changes.
        """

    def state_dict(self) -> dict[str, Any]:
        """The state of the teacher for a checkpoint, the same on all processes; none by default."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`."""
