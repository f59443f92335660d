"""The pruner that knows distillation stops degenerating students, and no healthy ones."""

from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from minillm.sweeps.study import load_study
from minillm.sweeps.watch import WatchConfig, degeneration


def lines(key, values, **others):
    return [{"step": step, key: value} | others for step, value in enumerate(values)]


HEALTHY = {
    "validation/reverse_kl": [0.7, 0.9, 0.5, 0.74, 0.74],
    "validation/length": [20.0, 7.0, 5.0, 7.0, 5.0],
    "validation/distinct_4": [60.0, 30.0, 20.0],
    "rollout/repetition": [0.1, 0.6, 0.4, 0.6],
    "weights/effective_share": [0.9, 0.05, 0.5, 0.05],
}
BROKEN = {
    "validation/reverse_kl": ([0.7, 0.5, 0.76, 0.8], "the reverse KL rose from 0.5 to 0.8"),
    "validation/length": ([20.0, 5.0, 4.0], "the mean length of responses fell to 4, from 20"),
    "validation/distinct_4": ([60.0, 10.0, 9.0], "distinct 4-grams among all responses fell to 9"),
    "rollout/repetition": ([0.1, 0.6, 0.7], "the share of repeated 4-grams is 0.7"),
    "weights/effective_share": ([0.9, 0.08, 0.05], "their effective share is 0.05"),
}
NAMES = {"validation/distinct_4": "distinct"}


@pytest.mark.parametrize("key", HEALTHY)
def test_a_rule_stops_exactly_the_students_that_degenerate(key):
    rules, values = WatchConfig(), HEALTHY[key]
    for count in range(len(values) + 1):
        assert degeneration(lines(key, values[:count]), rules) is None
    values, reason = BROKEN[key]
    assert degeneration(lines(key, values[:-1]), rules) is None  # patience=2
    assert reason in degeneration(lines(key, values), rules)
    name = NAMES.get(key, key.partition("/")[2])
    assert degeneration(lines(key, values), replace(rules, **{name: None})) is None
    assert degeneration([*lines(key, values), {"step": 9}], rules) is None  # it was judged before


def test_a_student_that_began_as_its_teacher_may_move_a_little():
    values = [0.0, 0.02, 0.04, 0.03]
    assert degeneration(lines("validation/reverse_kl", values), WatchConfig()) is None
    values = [0.0, 0.02, 0.06, 0.07]
    assert degeneration(lines("validation/reverse_kl", values), WatchConfig()) is not None


def test_an_untrained_model_that_never_ends_is_no_start_of_a_collapse():
    start = lines("validation/length", [48.0], **{"validation/unfinished": 0.99})
    rest = lines("validation/length", [12.0, 11.0, 11.0], **{"validation/unfinished": 0.0})
    assert degeneration(start + rest, WatchConfig()) is None


def test_a_student_that_repeats_itself_up_to_the_limit_is_stopped():
    start = lines("validation/distinct_4", [60.0], **{"validation/unfinished": 0.05})
    rest = lines("validation/distinct_4", [5.0, 5.0], **{"validation/unfinished": 0.95})
    assert "fell to 5, from 60 at the start" in degeneration(start + rest, WatchConfig())


def test_a_degenerating_trial_is_pruned_also_with_several_objectives(command, words):
    given = [*words, "training.lr=1e-2,0.3", "sweep.objectives=[rougeL,seconds]", "output=out"]
    assert command("sweep", *given).status == 0
    healthy, broken = load_study(Path("out")).trials
    assert (healthy.state, broken.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert broken.user_attrs["reason"] == "the reverse KL rose from 0.5 to 1.5 (step 2)"
