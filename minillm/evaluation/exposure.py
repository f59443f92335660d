"""Exposure bias: errors that a student makes only because it reads its own earlier errors.

At step t of a response, the error of the student q is KL[p || q], its divergence from the teacher p
after the same prefix. Two sums over the steps up to a length l differ in who wrote the prefixes
(paper, figure 6; Arora et al., 2022, arXiv 2204.01171):

    R(l)      = sum over t <= l of E_{y_<t ~ q} KL[p || q]      the student wrote them
    l eps(l)  = sum over t <= l of E_{y_<t ~ p} KL[p || q]      the teacher wrote them
    ExAccErr(l) = (R(l) - l eps(l)) / (l eps(l)) * 100%

A response that has ended adds nothing to later steps, because then both models are certain. In a
result file, the exposure bias is an object:

    samples                       responses of each of both models to each prompt
    excess_error                  ExAccErr(l) in %, for l = 1, 2, ...; null where l eps(l) is 0
    ci_low, ci_high               ends of its 95% bootstrap interval over inputs, likewise
    student_error, teacher_error  R(l) and l eps(l), in nats
    student_share, teacher_share  share of the responses that have a step l

This file imports neither torch nor transformers, because a report needs neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from minillm.errors import InputError
from minillm.evaluation.result_checks import MAYBE, check_keys
from minillm.evaluation.statistics import CONFIDENCE, RESAMPLES, resample

_DIGITS = 6  # of the numbers in a file


@dataclass(frozen=True)
class ExposureBias:
    """The docstring of this file explains the fields. Each list has one number per length."""

    samples: int
    excess_error: list[float | None]
    ci_low: list[float | None]
    ci_high: list[float | None]
    student_error: list[float]
    teacher_error: list[float]
    student_share: list[float]
    teacher_share: list[float]


@dataclass(frozen=True)
class Steps:
    """The steps of the responses of one model, averaged over the S responses to each prompt.

    Attributes:
        kl: KL[p || q] at each step in nats, 0 after the end of a response, `[N, L]`.
        share: share of the responses that have the step, `[N, L]`.
    """

    kl: np.ndarray
    share: np.ndarray

    def to_lists(self) -> dict[str, list]:
        """The values by name, for a json file."""
        return {"kl": self.kl.tolist(), "share": self.share.tolist()}

    @staticmethod
    def from_lists(values: Mapping[str, Any]) -> "Steps":
        """The steps of `to_lists`."""
        return Steps(np.array(values["kl"]), np.array(values["share"]))


def exposure_bias(student: Steps, teacher: Steps, samples: int, *, seed: int = 0) -> ExposureBias:
    """ExAccErr of all lengths up to the longest response, with intervals over inputs.

    Args:
        student: the steps of the student's responses.
        teacher: the steps of the teacher's responses to the same prompts.
        samples: S, responses of each model to each prompt.
        seed: seed of the bootstrap.
    """
    longest = int(np.flatnonzero((student.share + teacher.share).sum(axis=0))[-1]) + 1
    errors = [np.cumsum(steps.kl[:, :longest], axis=1) for steps in (student, teacher)]  # [N, L]
    inputs = len(errors[0])

    def excess(drawn: np.ndarray) -> np.ndarray:
        """`[R, L]` from the inputs `[R, N]` of R resamples. The factor 1 / N cancels out."""
        counts = np.stack([np.bincount(row, minlength=inputs) for row in drawn])
        return _excess(*(counts @ error for error in errors))

    resampled = resample(excess, inputs, seed, RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)  # NaN if one resample is NaN
    means = [error.mean(axis=0) for error in errors]
    shares = [steps.share[:, :longest].mean(axis=0) for steps in (student, teacher)]
    lists = (_excess(*means), low, high, *means, *shares)
    return ExposureBias(samples, *map(_numbers, lists))


def _excess(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Excess of the student's errors in %; NaN where the teacher's prefixes give no error."""
    nothing = np.full(teacher.shape, np.nan)
    return np.divide(100.0 * (student - teacher), teacher, out=nothing, where=teacher > 0)


def _numbers(values: np.ndarray) -> list[float | None]:
    """Numbers for a file; NaN becomes None."""
    return [None if np.isnan(x) else float(f"{x:.{_DIGITS}g}") for x in values.tolist()]


def read_exposure_bias(content: Any, where: str) -> ExposureBias | None:
    """The exposure bias in a result file; None if the file has none.

    Args:
        content: the value of the key `exposure_bias`, or None.
        where: the file, for messages.

    Raises:
        InputError: a key is missing, or its value is not allowed.
    """
    if content is None:
        return None
    check_keys({"exposure_bias": content}, {"exposure_bias": (dict,)}, where)
    names = [field.name for field in fields(ExposureBias)]
    kinds = {name: (list,) for name in names} | {"samples": (int,)}
    check_keys(content, kinds, where, prefix="exposure_bias.")
    lists = {name: content[name] for name in names if name != "samples"}
    lengths = {len(values) for values in lists.values()}
    are_numbers = all(isinstance(x, MAYBE) for values in lists.values() for x in values)
    if len(lengths) != 1 or lengths == {0} or not are_numbers:
        raise InputError(
            f"{where}: the lists of key 'exposure_bias' must hold one number for each length, and "
            f"as many numbers as each other. Evaluate again."
        )
    return ExposureBias(**{name: content[name] for name in names})


def shown_lengths(bias: ExposureBias) -> Sequence[int]:
    """A few lengths for a table: 1, 2, 5, 10, 20, 50, ..., and the last."""
    last = len(bias.excess_error)
    steps = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
    return [*(length for length in steps if length < last), last]
