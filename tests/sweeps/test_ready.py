"""The sweeps of configs/sweep: every trial would be accepted, and the paper's grids are its own."""

import pytest

from minillm.commands.sweep import check_trials
from minillm.compose import load_config
from minillm.settings.groups import sweeps
from minillm.sweeps.settings import read_sweep
from tests.documents.reading import ROOT, code_blocks

MODELS = ["student.path=a", "teacher.path=b"]


@pytest.mark.parametrize("name", sweeps())
def test_every_ready_sweep_is_accepted(name):
    data = [] if name.startswith("embedded/") else ["data.path=x"]
    assert check_trials(read_sweep([f"sweep={name}", *MODELS, *data])) is not None


def test_the_example_of_the_page_is_accepted(tmp_path):
    """With both values of the choice on which another setting depends."""
    (example,) = code_blocks(ROOT / "docs" / "sweeps.md", "yaml")
    file = tmp_path / "my_sweep.yaml"
    file.write_text(example)
    sweep = read_sweep([f"sweep={file}", *MODELS])
    assert sweep.name == "my_sweep" and check_trials(sweep).training.steps == 128


def test_the_grids_of_the_paper():
    """Appendix B.1. The learning rate of a trial also wins for large students."""
    small, large = (read_sweep([f"sweep=paper/{size}", *MODELS, "data.path=x"])
                    for size in ("small", "large"))  # fmt: skip
    grids = [{(point["training.lr"], point["training.batch_size"]) for point in sweep.points()}
             for sweep in (small, large)]  # fmt: skip
    assert grids == [{(lr, size) for lr in rates for size in (32, 64)}
                     for rates in ((5e-4, 1e-4, 5e-5), (5e-5, 1e-5, 5e-6))]  # fmt: skip
    training = load_config(large.words(large.points()[0])).training
    (entry,) = training.by_size
    assert training.lr == 5e-5 and (entry.lr, entry.epochs) == (None, 10)
