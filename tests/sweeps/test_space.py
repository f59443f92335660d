"""The space of a sweep, its grid, and the words of a command line."""

import optuna
import pytest

from minillm.errors import InputError
from minillm.sweeps.samplers import make_sampler
from minillm.sweeps.settings import SAMPLERS, choices, read_sweep
from minillm.sweeps.space import extreme_points, grid_points, read_space, suggest, word

CONDITIONAL = {
    "method": {"choice": ["kd", "gkd"]},
    "method.student_share": {"uniform": [0.25, 0.75], "points": 3, "if": {"method": "gkd"}},
    "training.lr": {"log": [1e-4, 1e-2], "points": 3},
}


def test_a_grid_has_each_point_once_although_settings_are_conditional():
    points = grid_points(read_space(CONDITIONAL))
    rates = [1e-4, 1e-3, 1e-2]
    assert points == [{"method": "kd", "training.lr": rate} for rate in rates] + [
        {"method": "gkd", "method.student_share": share, "training.lr": rate}
        for share in (0.25, 0.5, 0.75)
        for rate in rates
    ]


def test_the_bounds_of_a_conditional_setting_are_checked_where_it_varies():
    points = [point for key, point in extreme_points(read_space(CONDITIONAL))
              if key == "method.student_share"]  # fmt: skip
    assert points == [{"method": "gkd", "method.student_share": share, "training.lr": 1e-4}
                      for share in (0.25, 0.75)]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"log": [0, 1]}, "two numbers above 0"),
        ({"log": [1, 2], "choice": [1]}, "exactly one of log, uniform, int, choice"),
        ({"int": [1, 2.5]}, "two integers"),
        ({"uniform": [2, 1]}, "LOW below HIGH"),
        ({"choice": [1, 1]}, "different texts, numbers"),
        ({"choice": [1], "point": 3}, "Did you mean 'points'?"),
        ({"uniform": [0, 1], "if": {"a": 3}}, "Choices: a: [1, 2]"),
        ({"uniform": [0, 1], "points": 0}, "space.b.points=0"),
    ],
)
def test_wrong_entries_are_refused(entry, part):
    with pytest.raises(InputError) as error:
        read_space({"a": {"choice": [1, 2]}, "b": entry})
    assert "space.b" in str(error.value) and part in str(error.value), error.value


def test_commas_vary_a_setting_but_belong_to_texts_and_lists():
    assert choices("training.lr=1e-3,2e-3") == [1e-3, 2e-3]
    assert choices("method=kd,gkd") == ["kd", "gkd"]
    assert choices("training.betas=[0.9,0.95],[0.9,0.999]") == ["[0.9,0.95]", "[0.9,0.999]"]
    assert choices("evaluation.seeds=[1,2]") is None
    assert choices("data.path=a,b") is None
    assert word("training.betas", [0.9, None, True]) == "training.betas=[0.9,null,true]"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_worker_and_one_seed_give_the_same_trials(sampler):
    if sampler in ("cmaes", "qmc"):
        pytest.importorskip({"cmaes": "cmaes", "qmc": "scipy"}[sampler])
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def values(seed):
        sweep = read_sweep(["sweep=embedded/lr", f"sweep.sampler={sampler}", f"sweep.seed={seed}",
                            "sweep.startup_trials=2", "method.alpha=0,0.2,0.4",
                            *(["training.lr=1e-3,2e-3"] if sampler == "grid" else [])])  # fmt: skip
        study = optuna.create_study(direction="maximize")
        trials = []
        for _ in range(6):
            study.sampler = make_sampler(sweep)  # as after an interruption
            trial = study.ask()
            trials.append(suggest(sweep.space, trial))
            study.tell(trial, trials[-1]["training.lr"] + trials[-1]["method.alpha"])
        return trials

    assert values(1) == values(1)
    assert sampler == "grid" or values(1) != values(2)
    assert len({repr(point) for point in values(1)}) == 6
