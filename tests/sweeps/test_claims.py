"""Claims of workers on different machines, one of which dies, is slow, or stops."""

import time

import optuna
import pytest

from minillm.sweeps import claims
from minillm.sweeps.claims import Claims, LostTrial

INTERVAL = 0.05


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study()


@pytest.fixture
def on_machine(study, tmp_path, monkeypatch):
    """Makes the claims of a worker on a machine, and selects the machine for the next calls."""
    workers = {}

    def select(name, folder=tmp_path):
        monkeypatch.setattr(claims, "machine_id", lambda: name)
        return workers.setdefault(name, Claims(study, folder, INTERVAL))

    return select


def found(worker):
    return [trial.number for trial in worker.abandoned()]


def test_a_silent_worker_of_another_machine_loses_its_trial(study, on_machine):
    trial = study.ask()
    assert on_machine("a").take(trial)
    for _ in range(8):  # longer than the patience
        time.sleep(INTERVAL)
        on_machine("a").beat(trial)
        assert found(on_machine("b")) == []
    on_machine("a").drop_lock()  # as if the machine had lost its power
    assert found(on_machine("b")) == []
    time.sleep(INTERVAL * (claims.PATIENCE + 1))
    (abandoned,) = on_machine("b").abandoned()
    assert on_machine("b").take(abandoned)
    with pytest.raises(LostTrial):  # it lives after all
        on_machine("a").beat(trial)
    study.tell(abandoned, 1.0)
    time.sleep(INTERVAL)
    with pytest.raises(LostTrial):
        on_machine("b").beat(trial)


def test_a_silent_worker_keeps_its_trial_while_its_training_has_the_lock(study, on_machine):
    trial = study.ask()
    assert on_machine("a").take(trial)
    found(on_machine("b"))
    time.sleep(INTERVAL * (claims.PATIENCE + 1))
    (abandoned,) = on_machine("b").abandoned()
    assert not on_machine("b").take(abandoned)


def test_a_released_trial_is_taken_at_once(study, on_machine):
    trial = study.ask()
    assert on_machine("a").take(trial)
    on_machine("a").release(trial)
    on_machine("a").drop_lock()
    (abandoned,) = on_machine("b").abandoned()
    assert on_machine("b").take(abandoned) and abandoned.number == trial.number


def test_a_trial_that_ends_meanwhile_is_not_taken(study, on_machine):
    trial = study.ask()
    assert on_machine("a").take(trial)
    on_machine("a").release(trial)
    (abandoned,) = on_machine("b").abandoned()
    study.tell(trial, 1.0)
    on_machine("a").release(trial)
    on_machine("a").drop_lock()
    assert not on_machine("b").take(abandoned) and on_machine("b").lock is None
