"""Speed of a run, and the time that is left, from the seconds of its phases so far."""

from collections import Counter

from minillm.config import TrainingConfig
from minillm.progress import Estimate
from minillm.training.clock import Clock


class Pace:
    """Estimates the time left of a run, with its collections, validations and checkpoints.

    Collections and steps are assumed to take as long as since the (re)start of the run, validations
    and checkpoints as long as since its first step.

    Args:
        clock: the seconds of each phase.
        training: the intervals of validations and checkpoints.
        steps: number of optimiser steps of the run.
        first: the number of steps that were finished when the run (re)started.
        steps_per_collection: number of steps for which one collection of responses lasts.
    """

    def __init__(
        self,
        clock: Clock,
        training: TrainingConfig,
        *,
        steps: int,
        first: int,
        steps_per_collection: int,
    ) -> None:
        self.clock = clock
        self.training = training
        self.steps = steps
        self.first = first
        self.steps_per_collection = steps_per_collection
        self.start = Counter(clock.total)

    def __call__(self, step: int) -> Estimate:
        """Steps per second without validations, and the seconds left, after `step` steps."""
        if step == self.first:
            return None, None
        spent = {name: self.clock.total[name] - self.start[name]
                 for name in ("collect", "optimize")}  # fmt: skip
        speed = (step - self.first) / max(sum(spent.values()), 1e-9)
        left = spent["optimize"] / (step - self.first) * (self.steps - step)
        # Without a collection since the restart, the next one is assumed to take no time.
        begun = self._collections(step)
        collections = begun - self._collections(self.first)
        left += spent["collect"] / max(collections, 1) * (self._collections(self.steps) - begun)
        evaluate_every = self.training.evaluate_every
        for phase, every, at_start in (
            ("validate", evaluate_every, 1),
            ("checkpoint", self.training.checkpoint_every or evaluate_every, 0),
        ):
            finished = self._times(step, every)
            mean = self.clock.total[phase] / max(finished + at_start, 1)
            left += mean * (self._times(self.steps, every) - finished)
        return speed, left

    def _collections(self, step: int) -> int:
        """Number of collections that the first `step` steps need."""
        return -(-step // self.steps_per_collection)

    def _times(self, step: int, every: int) -> int:
        """How often something happens until `step`, every so many steps and at the last step."""
        return step // every + (step == self.steps and step % every > 0)
