"""Divergences between student q and teacher p at each token, exact over the support S.

Log-probabilities `[n, S]` in, nats `[n]` and gradients `[n, S]` out. `DIVERGENCES` has them by
name.
"""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches

from minillm.objectives.divergences.base import Divergence
from minillm.objectives.divergences.distances import AlphaBeta, LogitMSE, TotalVariation
from minillm.objectives.divergences.kl import AdaptiveKL, ForwardKL, ReverseKL, SymmetricKL
from minillm.objectives.divergences.mixtures import JSD, SkewForwardKL, SkewReverseKL

DIVERGENCES: dict[str, type[Divergence]] = {
    divergence.name: divergence
    for divergence in (
        ForwardKL, ReverseKL, SymmetricKL, JSD, TotalVariation, SkewForwardKL, SkewReverseKL,
        AlphaBeta, AdaptiveKL, LogitMSE,
    )
}  # fmt: skip

__all__ = [
    "DIVERGENCES",
    "JSD",
    "Divergence",
    "ForwardKL",
    "ReverseKL",
    "build_divergence",
    "parameter_names",
]


def parameter_names(name: str) -> list[str]:
    """The parameters of the divergence with that name.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in DIVERGENCES:
        raise ValueError(f"unknown divergence {name!r}. {_choices(name, DIVERGENCES)}")
    return [field.name for field in fields(DIVERGENCES[name])]


def build_divergence(name: str, parameters: Mapping[str, float]) -> Divergence:
    """The divergence with that name in `DIVERGENCES`.

    Args:
        name: such as "jsd".
        parameters: fields of the divergence that differ from their defaults, such as beta.

    Raises:
        ValueError: the name or a parameter is unknown, or a parameter is out of its range.
    """
    names = parameter_names(name)
    for parameter in parameters:
        if not names:
            raise ValueError(f"the divergence {name!r} has no parameters: remove {parameter!r}.")
        if parameter not in names:
            raise ValueError(
                f"unknown parameter {parameter!r} of the divergence {name!r}. "
                f"{_choices(parameter, names)}"
            )
    return DIVERGENCES[name](**parameters)


def _choices(name: str, names: Mapping[str, object] | list[str]) -> str:
    nearest = get_close_matches(name, names, n=1)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return f"{hint}Allowed: {', '.join(names)}."
