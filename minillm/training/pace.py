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
        end = self._last_step(step, speed)
        left = spent["optimize"] / (step - self.first) * (end - step)
        # Without a collection since the restart, the next one is assumed to take no time.
        before, begun, needed = (
            collections(steps, self.steps_per_collection) for steps in (self.first, step, end)
        )
        left += spent["collect"] / max(begun - before, 1) * (needed - begun)
        return speed, left + self._validations_left(end) + self._checkpoints_left(step, end)

    def _last_step(self, step: int, speed: float) -> int:
        """The last step of the run, after `step` steps, also if `training.seconds` end the run."""
        if self.training.seconds is None:
            return self.steps
        seconds = max(self.training.seconds - self.clock.training_seconds, 0)
        return min(self.steps, step + math.ceil(seconds * speed))

    def _validations_left(self, end: int) -> float:
        """Seconds of the validations that are left, if `end` is the last step."""
        finished = len(self.history)
        left = validations(end, self.training) - finished
        return self.clock.total["validate"] / max(finished, 1) * left

    def _checkpoints_left(self, step: int, end: int) -> float:
        """Seconds to save the models and checkpoints that are left, if `end` is the last step."""
        every = self.training.checkpoint_every or self.training.evaluate_every
        all_checkpoints = math.ceil(end / every)
        finished = all_checkpoints if step == end else step // every
        return self.clock.total["checkpoint"] / max(finished, 1) * (all_checkpoints - finished)
