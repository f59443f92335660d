"""Speed of a run, and the time that is left, from the seconds of its phases so far."""

import math
from collections import Counter
from collections.abc import Sequence

from minillm.config import TrainingConfig
from minillm.progress import Estimate
from minillm.training.clock import Clock


def collections(steps: int, steps_per_collection: int) -> int:
    """Number of collections that the first `steps` steps of a run need."""
    return math.ceil(steps / steps_per_collection)


def validations(steps: int, training: TrainingConfig) -> int:
    """Number of validations of a run, with the validation at step 0."""
    return 1 + math.ceil(steps / training.evaluate_every)


class Pace:
    """Estimates the time left of a run, with its collections, validations and checkpoints.

    Collections and steps are assumed to take as long as since the (re)start of the run, validations
    and checkpoints as long as since its first step.

    Args:
        clock: the seconds of each phase.
        history: the validations so far.
        training: the intervals of validations and checkpoints.
        steps: number of optimiser steps of the run.
        first: the number of steps that were finished when the run (re)started.
        steps_per_collection: number of steps for which one collection of responses lasts.
    """

    def __init__(
        self,
        clock: Clock,
        history: Sequence,
        training: TrainingConfig,
        *,
        steps: int,
        first: int,
        steps_per_collection: int,
    ) -> None:
        self.clock = clock
        self.history = history
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
        before, begun, needed = (
            collections(steps, self.steps_per_collection)
            for steps in (self.first, step, self.steps)
        )
        left += spent["collect"] / max(begun - before, 1) * (needed - begun)
        return speed, left + self._validations_left() + self._checkpoints_left(step)

    def _validations_left(self) -> float:
        """Seconds of the validations that are left."""
        finished = len(self.history)
        left = validations(self.steps, self.training) - finished
        return self.clock.total["validate"] / max(finished, 1) * left

    def _checkpoints_left(self, step: int) -> float:
        """Seconds to save the models and checkpoints that are left."""
        every = self.training.checkpoint_every or self.training.evaluate_every
        all_checkpoints = math.ceil(self.steps / every)
        finished = all_checkpoints if step == self.steps else step // every
        return self.clock.total["checkpoint"] / max(finished, 1) * (all_checkpoints - finished)
