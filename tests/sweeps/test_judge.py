"""Which validations prune a trial: each new one but the last, and none a second time."""

import json

import optuna
import pytest

from minillm.sweeps.claims import Claims
from minillm.sweeps.run import Pruned, Run, Running, judge
from minillm.sweeps.settings import read_sweep

OTHERS = (0.0, 5.0, 10.0)
CROSSING = (1.0, 6.0, 9.0)  # better than the others until the last step


@pytest.fixture
def running(tmp_path):
    """A new trial after five complete ones."""
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(5))
    for _ in range(5):
        other = study.ask()
        for step, score in enumerate(OTHERS, start=1):
            other.report(score, step)
        study.tell(other, OTHERS[-1])
    sweep = read_sweep(["sweep=embedded/lr", f"output={tmp_path}"])
    claims = Claims(study, tmp_path, 60)
    return Running(sweep, study, study.ask(), claims, None, is_stopping=lambda: False)


def run_with(folder, scores, steps, first_step=1):
    lines = [{"step": step, "validation/rougeL": score}
             for step, score in enumerate(scores, first_step)]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Run(folder, [], True, steps, None)


@pytest.mark.parametrize("steps", [3, None])  # None with training.epochs
def test_a_complete_training_is_not_pruned(running, tmp_path, steps):
    run = run_with(tmp_path, CROSSING, steps)
    judged = judge(running, run, 0, has_ended=False)
    assert judge(running, run, judged, has_ended=True) == 3
    assert running.study.trials[-1].intermediate_values == dict(enumerate(CROSSING, 1))
    assert judge(running, run, 0, has_ended=True) == 3  # as if another worker continued the trial


@pytest.mark.parametrize("steps", [4, None])
def test_a_training_that_goes_on_is_pruned(running, tmp_path, steps):
    run = run_with(tmp_path, [*CROSSING, 11.0], steps)
    with pytest.raises(Pruned, match="rougeL was 9 at step 3"):
        judge(running, run, 0, has_ended=False)


def test_the_score_of_the_start_does_not_protect_a_trial(running, tmp_path):
    run = run_with(tmp_path, [20.0, -1.0, 11.0], 4, first_step=0)
    with pytest.raises(Pruned, match="rougeL was -1 at step 1"):
        judge(running, run, 0, has_ended=False)
    assert running.study.trials[-1].intermediate_values == {1: -1.0}
