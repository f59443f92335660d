"""The time that is left of a run, and its speed."""

import pytest

from minillm.config import TrainingConfig
from minillm.training.clock import Clock
from minillm.training.pace import Pace


def simulated(steps, *, steps_per_collection=4, evaluate_every=10):
    """The seconds left after each step, as estimated and in truth, of a run of constant speed.

    A step takes 1 s, a collection 8 s, a validation 5 s and a checkpoint 2 s.
    """
    clock, history, seconds, estimates = Clock(), [{}], 5.0, []
    clock.total["validate"] = 5.0  # the validation of step 0
    training = TrainingConfig(evaluate_every=evaluate_every)
    pace = Pace(clock, history, training, steps=steps, first=0,
                steps_per_collection=steps_per_collection)  # fmt: skip
    assert pace(0) == (None, None)
    for step in range(1, steps + 1):
        begins_collection = (step - 1) % steps_per_collection == 0
        spent = {"optimize": 1.0, "collect": 8.0 * begins_collection}
        if step % evaluate_every == 0 or step == steps:
            spent |= {"validate": 5.0, "checkpoint": 2.0}
            history.append({})
        clock.total.update({name: clock.total[name] + x for name, x in spent.items()})
        seconds += sum(spent.values())
        estimates.append((seconds, *pace(step)))
    return [(seconds - at, left, speed) for at, speed, left in estimates]


@pytest.mark.parametrize("steps", [23, 40])
def test_the_time_left_contains_collections_validations_and_checkpoints(steps):
    values = simulated(steps)
    for step, (truth, left, _) in enumerate(values, start=1):
        if step >= 10:  # before, the seconds of a checkpoint are not known
            assert left == pytest.approx(truth), step
        else:
            assert truth - 2.0 * 4 <= left <= truth, step
    assert values[-1][1] == 0
    assert values[3][2] == pytest.approx(4 / 12)  # steps per second of the first collection


def test_the_time_left_of_a_run_that_ends_after_some_seconds():
    clock, history = Clock(), [{}]
    clock.total.update(validate=5.0)
    training = TrainingConfig(evaluate_every=10, seconds=25.0)
    pace = Pace(clock, history, training, steps=1000, first=0, steps_per_collection=1)
    clock.total.update(optimize=8.0, collect=2.0)
    # 15 of 25 s are left: 6 steps of 2.5 s, and the validation of the last of 10 steps.
    assert pace(4) == (0.4, 15.0 + 5.0)


def test_a_resumed_run_uses_its_new_speed():
    clock, history = Clock(), [{}, {}]
    clock.total.update(optimize=1000.0, collect=1000.0, validate=10.0)
    training = TrainingConfig(evaluate_every=10)
    pace = Pace(clock, history, training, steps=20, first=10, steps_per_collection=1)
    clock.total["optimize"] += 1.0
    assert pace(11) == (1.0, 9 * 1.0 + 5.0)  # nine steps and a validation
