"""Matching of hidden states: layers of the student learn the states of layers of the teacher.

A trained projection W maps the student's width to the teacher's width (FitNets, Romero et al.,
arXiv 1412.6550, equation 3). The loss per token and pair of layers is

    mean over d of (W h_student - h_teacher)^2 / mean over d of h_teacher^2      ("mse")
    1 - cos(W h_student, h_teacher)                                              ("cosine")

The division makes layers with small and large states comparable. The states are the outputs of
decoder layers, before the final norm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from minillm.models.initial_weights import seeded
from minillm.models.language_model import LanguageModel
from minillm.models.layers import layer_number


@dataclass(frozen=True)
class LayerMatching:
    """Pairs of layers, their projections, and the weight of the loss.

    Attributes:
        pairs: (student's layer, teacher's layer), see `models.layers.layer_number`.
        projections: one linear map per pair, `[d_teacher, d_student]`, without bias.
        distance: "mse" or "cosine".
        weight: factor of the mean over the pairs in the loss of a token.
    """

    pairs: tuple[tuple[int, int], ...]
    projections: nn.ModuleList
    distance: str
    weight: float

    @staticmethod
    def build(
        student: LanguageModel,
        teacher: LanguageModel,
        *,
        pairs: Sequence[tuple[int, int]],
        distance: str,
        weight: float,
        seed: int,
    ) -> "LayerMatching":
        """Build the matching with random projections.

        Raises:
            InputError: a model does not have one of the layers.
        """
        numbers = tuple(
            (
                layer_number(student.module, of_student, "method.layers, student: "),
                layer_number(teacher.module, of_teacher, "method.layers, teacher: "),
            )
            for of_student, of_teacher in pairs
        )
        widths = [x.module.config.get_text_config().hidden_size for x in (student, teacher)]
        projections = nn.ModuleList()
        with seeded(seed):
            for _ in numbers:
                layer = nn.Linear(*widths, bias=False, dtype=student.module.dtype)
                # `layer.to(device)` fails for tensors without memory, as `minillm plan` has them.
                layer.weight = nn.Parameter(layer.weight.detach().to(student.device))
                projections.append(layer)
        return LayerMatching(numbers, projections, distance, weight)

    @property
    def teacher_layers(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(layer for _, layer in self.pairs))

    def against(self, teacher_states: dict[int, Tensor]) -> "MatchedLayers":
        """The loss for a batch, from the teacher's states `[B, T, d]` by layer."""
        return MatchedLayers(self, teacher_states)


@dataclass(frozen=True)
class MatchedLayers:
    """The loss of hidden states for one batch (`models.layers.StateLoss`)."""

    matching: LayerMatching
    teacher_states: dict[int, Tensor]

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(layer for layer, _ in self.matching.pairs))

    def __call__(self, states: dict[int, Tensor], tokens: Tensor) -> Tensor:
        distances = []
        pairs = zip(self.matching.pairs, self.matching.projections, strict=True)
        for (student_layer, teacher_layer), projection in pairs:
            target = self.teacher_states[teacher_layer].flatten(0, 1).index_select(0, tokens)
            predicted = projection(states[student_layer])
            distances.append(_distance(predicted, target, self.matching.distance))
        return self.matching.weight * torch.stack(distances).mean(0)


def _distance(predicted: Tensor, target: Tensor, kind: str) -> Tensor:
    """The distances `[N]` between states `[N, d]`, in float32 or float64."""
    dtype = torch.promote_types(predicted.dtype, torch.float32)
    predicted, target = predicted.to(dtype), target.to(dtype)
    if kind == "cosine":
        return 1 - functional.cosine_similarity(predicted, target, dim=-1)
    size = target.square().mean(-1).clamp(min=torch.finfo(dtype).eps ** 2)
    return (predicted - target).square().mean(-1) / size
