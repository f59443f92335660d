"""Samplers and pruners of Optuna, with every default that changed between versions written out."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    PartialFixedSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from minillm.config import TrainingConfig
from minillm.sweeps.settings import Sweep, SweepConfig


class NumberedSampler(BaseSampler):
    """Samples each trial with a sampler of its own, whose seed depends on the trial's number.

    So the values of a trial depend only on its number and on the trials before it: not on the
    worker that begins it, and not on interruptions.
    """

    def __init__(self, make: Callable[[int], BaseSampler]) -> None:
        self.make = make
        self.sampler = make(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.sampler = self.make(trial.number)
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, distribution: BaseDistribution
    ) -> Any:
        return self.sampler.sample_independent(study, trial, param_name, distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self.sampler.after_trial(study, trial, state, values)


def make_sampler(sweep: Sweep) -> NumberedSampler:
    """The sampler of a sweep."""
    # `group`, PartialFixedSampler and QMCSampler are called experimental in Optuna 5.
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    config, points = sweep.config, sweep.points()

    def make(number: int) -> BaseSampler:
        seed = (config.seed * 1_000_003 + number) % 2**32
        if points is not None:  # trial N is the point N, so that no two workers try the same point
            return PartialFixedSampler(points[number % len(points)], RandomSampler(seed=seed))
        return _sampler(config, seed)

    return NumberedSampler(make)


def _sampler(config: SweepConfig, seed: int) -> BaseSampler:
    match config.sampler:
        case "tpe":
            # `group` models the settings of each branch of a conditional space together. With the
            # constant liar, workers do not try the same region at once.
            return TPESampler(n_startup_trials=config.startup_trials, n_ei_candidates=24, seed=seed,
                              multivariate=True, group=True, constant_liar=True)  # fmt: skip
        case "cmaes":
            return CmaEsSampler(n_startup_trials=config.startup_trials, seed=seed,
                                independent_sampler=RandomSampler(seed=seed),
                                warn_independent_sampling=False)  # fmt: skip
        case "qmc":  # the sequence has one seed for all trials
            return QMCSampler(qmc_type="sobol", scramble=True, seed=config.seed,
                              independent_sampler=RandomSampler(seed=seed),
                              warn_asynchronous_seeding=False,
                              warn_independent_sampling=False)  # fmt: skip
    return RandomSampler(seed=seed)


def make_pruner(config: SweepConfig, training: TrainingConfig) -> BasePruner:
    """The pruner of a sweep.

    Args:
        config: the settings of the sweep.
        training: the loop of a trial, whose validations are the pruner's steps.
    """
    match config.pruner:
        case "median":
            return MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=0,
                                interval_steps=1, n_min_trials=1)  # fmt: skip
        case "hyperband":
            most = max(training.steps, training.evaluate_every) if training.steps else "auto"
            return HyperbandPruner(min_resource=training.evaluate_every, max_resource=most,
                                   reduction_factor=3, bootstrap_count=0)  # fmt: skip
    return NopPruner()
