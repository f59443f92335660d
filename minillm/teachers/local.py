"""A teacher that is one frozen language model in this process."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from minillm.data.batches import SequenceBatch
from minillm.models.forward import response_states
from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel
from minillm.objectives.chunked import default_chunk_size
from minillm.objectives.targets import HeadTargets, top_k_targets
from minillm.teachers.teacher import Scores, Teacher


@dataclass(frozen=True)
class LocalTeacher(Teacher):
    """Scores tokens with one model.

    Attributes:
        model: the frozen model; `models/placement.py` and `training/sharding.py` place its weights.
        top_k: number of most likely tokens that are kept, with a tail for the other tokens; None
            for the whole distribution.
        top_k_temperature: the temperature at which the k log-probabilities are computed.
    """

    model: LanguageModel
    top_k: int | None = None
    top_k_temperature: float = 1.0

    @property
    def models(self) -> tuple[LanguageModel, ...]:
        return (self.model,)

    @property
    def sampler(self) -> LanguageModel:
        return self.model

    @torch.no_grad()
    def score(self, sequences: SequenceBatch, layers: Sequence[int] = ()) -> Scores:
        with self.model.whole() as model:
            hidden, states = response_states(model, sequences, layers)
        targets = HeadTargets(hidden, output_head(self.model).ready())
        if self.top_k is None:
            return Scores(targets, states)
        chunk = default_chunk_size(hidden.device, targets.head.vocab_size)
        tokens = sequences.response_ids.numel()
        top = top_k_targets(targets, tokens, self.top_k, self.top_k_temperature, chunk)
        return Scores(top, states)

    def exact(self) -> "LocalTeacher":
        return replace(self, top_k=None)

    @contextmanager
    def whole(self) -> Iterator["LocalTeacher"]:
        with self.model.whole() as model:
            yield replace(self, model=model)

    def replace_models(self, change: Callable[[LanguageModel], LanguageModel]) -> "LocalTeacher":
        return replace(self, model=change(self.model))
