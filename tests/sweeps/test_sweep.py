"""`minillm sweep` in one process, with trainings that take no time."""

import json
import signal
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState

from minillm.errors import InputError
from minillm.sweeps import run
from minillm.sweeps.settings import read_sweep
from minillm.sweeps.status import count, trials_of
from minillm.sweeps.study import load_study


def starts() -> list[str]:
    return [line.split()[0] for line in Path("starts.txt").read_text().splitlines()]


def states(folder: str) -> list[TrialState]:
    return [each.state for each in trials_of(load_study(Path(folder)))]


def test_a_grid_is_tried_once_and_a_failed_trial_is_recorded(command, words, caplog):
    given = ["sweep", *words, "training.lr=1e-3,0.5,1e-2", "output=grid"]
    assert command(*given).status == 0
    study = load_study(Path("grid"))
    assert [each.params["training.lr"] for each in study.trials] == [1e-3, 0.5, 1e-2]
    assert states("grid") == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert study.best_trial.number == 2 and study.best_value == 55
    assert study.trials[1].user_attrs["error"] == "exit status 1: the loss is not finite at step 1"
    counts = count(trials_of(study))
    assert (counts.complete, counts.failed, counts.pruned, counts.running) == (2, 1, 0, 0)
    line = "grid: best rougeL 55 (trial 2), 3 of 3 trials done, 0 running, 0 pruned, 1 failed"
    assert caplog.text.count(line) == 1
    assert command(*given).status == 0 and starts() == ["0", "1", "2"]  # nothing is repeated
    outcome = command(*given, "training.batch_size=8")
    assert outcome.status == 2
    assert "training.batch_size (was not given, now 8)" in outcome.err
    outcome = command("train", "--multirun", *words, "training.lr=1e-3,2e-3", "output=grid")
    assert outcome.status == 2 and "space.training.lr (was {'choice': [0.001" in outcome.err
    outcome = command("sweep", *words, "training.lr=0.6,0.7", "output=bad", "sweep.failures=1")
    assert outcome.status == 3 and "(sweep.failures=1)" in outcome.err
    assert states("bad") == [TrialState.FAIL]
    outcome = command("sweep", *words, "training.lr=0.6,0.7", "output=bad", "sweep.failures=1")
    assert outcome.status == 3 and states("bad") == [TrialState.FAIL] * 2  # the next trial


def test_a_grid_keeps_its_order_and_its_study(command, words):
    """Otherwise the number of a trial would belong to other values."""
    rates, sizes = "training.lr=1e-3,1e-2", "training.batch_size=4,8"
    given = ["sweep", *words, rates, sizes, "output=grid"]
    assert command(*given, "sweep.trials=1").status == 0
    outcome = command("sweep", *words, sizes, rates, "output=grid")
    assert outcome.status == 2 and "the order of what varies (was space.training.lr" in outcome.err
    outcome = command(*given, "sweep.sampler=random")
    assert outcome.status == 2 and "sweep.sampler (was grid, now not grid)" in outcome.err
    Path("grid").rename("moved")
    assert command(*given[:-1], "output=moved", "sweep.trials=2").status == 0
    assert states("moved") == [TrialState.COMPLETE] * 2
    Path("moved/study.db").unlink()
    for _ in range(2):
        outcome = command(*given[:-1], "output=moved")
        assert outcome.status == 2 and "is gone" in outcome.err


def test_the_median_pruner_stops_the_worst_trials_and_seeds_are_averaged(command, words):
    given = ["sweep", *words, "training.lr=1e-2,1e-1,2e-2,3e-3", "output=out", "sweep.seeds=[1,3]",
             "sweep.pruner=median", "sweep.startup_trials=1"]  # fmt: skip
    assert command(*given).status == 0
    study = load_study(Path("out"))
    pruned, complete = TrialState.PRUNED, TrialState.COMPLETE
    assert states("out") == [complete, pruned, pruned, pruned]
    assert "the pruner median has stopped the trial" in study.trials[1].user_attrs["reason"]
    assert study.best_value == 50 + 4 + 2  # the mean of the seeds
    assert starts() == ["seed-1", "seed-3", "seed-1", "seed-1", "seed-1"]


def test_a_stopped_trial_is_continued_first_and_hours_end_the_sweep(command, words, monkeypatch):
    """The signal arrives after the second look at the training."""
    monkeypatch.setenv("FAKE_STEP", "0.3")
    given = [*words, "training.lr=1e-3,1e-2", "output=out"]
    looks, judge = [], run.judge

    def stop_then_judge(*arguments):
        looks.append(1)
        if len(looks) == 2:
            signal.raise_signal(signal.SIGINT)
        return judge(*arguments)

    monkeypatch.setattr(run, "judge", stop_then_judge)
    outcome = command("sweep", *given)
    assert outcome.status == 130 and "same command continues the sweep" in outcome.err
    assert states("out") == [TrialState.RUNNING] and starts() == ["0"]
    monkeypatch.setenv("FAKE_STEP", "0")
    assert command("sweep", *given, "sweep.hours=1e-5").status == 0
    assert starts() == ["0", "0"] and states("out") == [TrialState.COMPLETE]
    lines = Path("out/trials/0/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("wrong", "part"),
    {
        "sweep=lrs": "unknown sweep 'lrs'",
        "sweep.objectives=[rouge]": "unknown sweep.objectives 'rouge'",
        "sweep.objectives=[rougeL,seconds] sweep.pruner=median": "sweep.pruner=none",
        "sweep.storage=postgresql://me:secret@host/sweeps": "~/.pgpass",
        "training.lr=1e-3,0": "training.lr=0.0 is not allowed",
        "method=kd": "method=kd needs a teacher",
        "resume=auto": "a sweep always continues",
        "sweep.seeds=[1,1]": "names a seed twice",
        "sweep.launcher=nothing": "there is no program 'nothing'",
        "sweep.launcher='": "cannot be read",
        "output=.": "do not belong to a sweep",
    }.items(),
)
def test_wrong_sweeps_are_refused(command, words, wrong, part):
    Path("file").touch()
    outcome = command("sweep", *words, "training.lr=1e-3,1e-2", "output=out", *wrong.split())
    assert outcome.status == 2 and part in outcome.err and not Path("out").exists(), outcome.err


def test_what_a_sweep_varies_cannot_be_set():
    with pytest.raises(InputError, match=r"the sweep varies training\.lr"):
        read_sweep(["sweep=embedded/lr", "training.lr=1"])
    with pytest.raises(InputError, match="are always trained"):  # with `train --multirun`
        read_sweep(["sweep=embedded/lr", "dry_run=true"])


def test_a_training_that_is_always_killed_fails(command, words):
    killed = "sweep.launcher=sh -c 'kill -9 $$'"
    assert command("sweep", *words, killed, "training.lr=1e-3,1e-2", "output=out").status == 0
    assert states("out") == [TrialState.FAIL] * 2
    errors = [each.user_attrs["error"] for each in load_study(Path("out")).trials]
    assert all("interrupted 3 times without progress" in error for error in errors)


def test_the_report_of_a_sweep(command, words):
    """Also of a sweep with several objectives, and while no trial is complete."""
    rates = "training.lr=1e-2,1e-1,2e-2,3e-3,0.5,1e-3,2e-3,4e-3,5e-3,6e-3,7e-3,8e-3,9e-3,1.1e-2"
    given = [*words, rates, "output=out", "sweep.pruner=median"]
    assert command("sweep", *given, "sweep.trials=13").status == 0
    Path("out/trials/0/config.yaml").write_text(
        "method: {file: out/shared/responses-1.jsonl}\ntraining: {lr: 0.01}\n"
        "output: out/trials/0\nresume: auto\n"
    )
    outcome = command("report", "sweep", "out", "--output", "report", "--page")
    assert outcome.status == 0, outcome.err
    assert {path.name for path in Path("report").iterdir()} == {
        "table.md", "trials.csv", "best.yaml", "sweep.html", "history.png", "slices.png",
        "parallel.png", "importance.png"
    }  # fmt: skip
    assert "13 trials: 11 complete, 1 pruned, 1 failed, 0 running. Best: 0." in outcome.out
    rows = [line.split(",") for line in Path("report/trials.csv").read_text().splitlines()]
    assert rows[1][:4] == ["0", "complete", "55.0", "0.01"] and len(rows) == 14
    assert rows[5][1] == "failed" and "loss is not finite" in rows[5][-1]
    best = Path("report/best.yaml").read_text()
    assert best.startswith("# Trial 0 of the sweep out: rougeL 55.\n")
    assert yaml.safe_load(best) == {"method": {}, "training": {"lr": 0.01}}
    assert Path("report/sweep.html").read_text().count("data:image/png") == 4
    two = ["sweep.objectives=[rougeL,seconds]", "output=two", "training.lr=1e-2,1e-3,2e-3"]
    assert command("sweep", *words, *two).status == 0
    outcome = command("report", "sweep", "two", "--output", "report")
    assert outcome.status == 0 and "Best: 0, 1, 2." in outcome.out  # a smaller rate is "faster"
    left = {path.name for path in Path("report").iterdir()}
    assert not left & {"best.yaml", "importance.png", "sweep.html"}  # of the earlier report
    outcome = command("report", "sweep", "report", "--output", "other")
    assert outcome.status == 2 and "it has no sweep.json" in outcome.err


def test_values_that_do_not_fit_together_are_a_failed_trial(command, words):
    given = [*words, "training.lr=1e-2", "student.hidden_size=16,18", "student.heads=2,4"]
    assert command("sweep", *given, "output=out").status == 0
    assert [each.name for each in states("out")] == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]
    error = load_study(Path("out")).trials[3].user_attrs["error"]
    assert "student.hidden_size=18 cannot be divided" in error


def test_hyperband_gives_few_trials_all_steps(command, words):
    given = ["sweep", *words, "training.evaluate_every=1", "sweep.pruner=hyperband", "output=out",
             "training.lr=1e-2,1e-1,2e-2,3e-3,1e-3,2e-3,5e-2,8e-2,3e-2"]  # fmt: skip
    assert command(*given).status == 0
    counts = count(trials_of(load_study(Path("out"))))
    assert counts.pruned >= 3 and counts.complete >= 1 and counts.begun == 9
    outcome = command(*given, "sweep.storage=journal")
    assert outcome.status == 2 and "was begun with sweep.storage=sqlite" in outcome.err
