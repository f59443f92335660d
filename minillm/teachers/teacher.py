"""The interface of a teacher: it scores batches, and may change while the student trains."""

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
    """What a teacher says about a batch of prompts and responses.

    Attributes:
        targets: of the B * T response tokens, row by row.
        states: outputs `[B, T, d]` of the decoder layers that were asked for.
    """

    targets: Targets
    states: dict[int, Tensor] = field(default_factory=dict)


class Teacher(Protocol):
    """Scores the tokens of responses. A teacher never has a gradient."""

    @property
    def models(self) -> tuple[LanguageModel, ...]:
        """The language models that the teacher is made of."""
        ...

    @property
    def sampler(self) -> LanguageModel | None:
        """The one model whose distribution the teacher has, for sampling; None if there is none."""
        ...

    def score(self, sequences: SequenceBatch, layers: Sequence[int] = ()) -> Scores:
        """Score the response tokens in one forward pass per model.

        Args:
            sequences: the teacher's prompts and the responses.
            layers: decoder layers whose outputs are returned too.
        """
        ...

    def exact(self) -> "Teacher":
        """The teacher with the whole distribution of every token, for evaluation."""
        ...

    def whole(self) -> AbstractContextManager["Teacher"]:
        """The teacher with all weights in place, for several calls of `score`.

        All processes must enter together, see `LanguageModel.whole`.
        """
        ...

    def replace_models(self, change: Callable[[LanguageModel], LanguageModel]) -> "Teacher":
        """The teacher with another form of each of its models, such as a sharded one."""
        ...

    def after_step(self, student: LanguageModel, step: int) -> None:
        """Called on all processes after optimiser step number `step` (from 1)."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold to restore the teacher; the same on all processes."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        ...
