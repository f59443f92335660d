"""Hub names: revisions, the record of commits, and answers without a network.

The cache of the Hub is made by hand: `snapshots/COMMIT` and `refs/NAME`.
"""

import json
import shutil
import time
from pathlib import Path

import datasets
import huggingface_hub
import pytest
from safetensors.torch import load_file, save_file

from minillm.compat import hub
from tests.conftest import rows, write_jsonl

OLD, NEW = "a" * 40, "b" * 40
NAME = "owner/model"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no notes of earlier tests."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "_commits", {})
    return tmp_path / "hub"


def add_commit(repository: Path, commit: str, *references: str) -> Path:
    """The empty snapshot of a commit, to which branches or tags refer."""
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    for name in references:
        (repository / "refs" / name).write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    return repository / "snapshots" / commit


@pytest.fixture
def model(cache, teacher) -> str:
    """A Hub name with two commits: the weights of `OLD` are zero in one layer."""
    for commit, names in ((OLD, ["v1"]), (NEW, ["main"])):
        snapshot = add_commit(cache / "models--owner--model", commit, *names)
        shutil.copytree(teacher / "best", snapshot, dirs_exist_ok=True)
        (snapshot / "minillm.json").unlink()
    file = cache / f"models--owner--model/snapshots/{OLD}/model.safetensors"
    weights = load_file(file)
    weights["transformer.ln_f.weight"].zero_()
    save_file(weights, file, {"format": "pt"})
    return NAME


def test_a_run_records_the_commits_of_its_models(command, settings, model):
    outcome = command("train", *settings, "method=kd", f"student.path={model}",
                      f"teacher.path={model}", "teacher.revision=v1", "training.steps=1",
                      "output=run")  # fmt: skip
    assert outcome.status == 0, outcome.err
    record = json.loads(Path("run/provenance.json").read_text())
    assert record["hub"] == {NAME: NEW, f"{NAME}@v1": OLD}
    # A run of the record: the branch may have moved since.
    again = command("train", *settings, "method=kd", f"student.path={model}",
                    f"student.revision={record['hub'][NAME]}", f"teacher.path={model}",
                    f"teacher.revision={OLD}", "training.steps=1", "output=again")  # fmt: skip
    assert again.status == 0, again.err
    metrics = [Path(run, "metrics.jsonl").read_text().splitlines()[0] for run in ("run", "again")]
    losses = [json.loads(line).get("loss") for line in metrics]
    assert losses[0] == losses[1]


def test_the_revision_selects_weights(command, settings, model):
    data = [word for word in settings if word.startswith(("data.", "runtime."))]
    for revision, commit in (("v1", OLD), (OLD, OLD), ("null", NEW)):
        outcome = command("prune", model, revision, "ffn=20", f"student.revision={revision}",
                          *data)  # fmt: skip
        assert outcome.status == 0, outcome.err
        is_zero = load_file(f"{revision}/model.safetensors")["transformer.ln_f.weight"].sum() == 0
        assert is_zero == (commit == OLD), revision
        record = json.loads(Path(revision, "minillm.json").read_text())
        assert set(record["hub"].values()) >= {commit}


@pytest.mark.parametrize("name", [f"{NAME} student.revision=gone", "nobody/model"])
def test_a_model_that_is_not_in_the_cache_is_refused_at_once(command, model, name):
    start = time.monotonic()
    outcome = command("generate", *name.split(), "--prompt", "x")
    assert outcome.status == 2 and time.monotonic() - start < 2
    assert "HF_HUB_OFFLINE is set" in outcome.err
    revision = " --revision gone" if "gone" in name else ""
    assert f"run `hf download {name.split()[0]}{revision}` on a machine" in outcome.err


def test_a_folder_has_no_revision(refused, teacher):
    message = refused(f"student.path={teacher}/best", "student.revision=v1")
    assert "student.revision=v1 is not allowed" in message and "only Hub names" in message


def test_files_of_data_have_revisions(command, cache, teacher):
    for commit, names, first in ((OLD, ["v1"], 0), (NEW, ["main"], 10)):
        snapshot = add_commit(cache / "datasets--owner--data", commit, *names)
        write_jsonl(snapshot / "train.jsonl", rows(20)[first:])
    words = ["data", "prepare", "data.kind=hub", "data.path=owner/data", "data.train=train.jsonl",
             "data.validation_size=2", f"student.path={teacher}/best"]  # fmt: skip
    for revision, commit, inputs in (("null", NEW, 8), ("v1", OLD, 18)):
        outcome = command(*words, f"data.revision={revision}", "--output", revision)
        assert outcome.status == 0, outcome.err
        record = json.loads(Path(revision, "preparation.json").read_text())
        key = "datasets/owner/data" + "@v1" * (revision == "v1")
        assert record["provenance"]["hub"][key] == commit
        assert record["splits"]["train"]["inputs"] == inputs


def test_splits_of_data_record_their_commit(command, cache, teacher, tmp_path, monkeypatch):
    """`datasets` gives the folder of its cache the name of the commit."""
    source = write_jsonl(tmp_path / "source.jsonl", rows(9))
    folder = tmp_path / "cache/owner___data/default/0.0.0" / OLD
    table = datasets.Dataset.from_json(str(source))
    folder.mkdir(parents=True)
    with datasets.arrow_writer.ArrowWriter(path=str(folder / "data-train.arrow")) as writer:
        writer.write_table(table.data.table)
        writer.finalize()
    monkeypatch.setattr(
        datasets, "load_dataset",
        lambda *_, revision, **__: datasets.Dataset.from_file(str(folder / "data-train.arrow")),
    )  # fmt: skip
    words = ["data", "data.kind=hub", "data.path=owner/data", "data.train=train",
             "data.validation_size=2", f"student.path={teacher}/best"]  # fmt: skip
    assert command(*words).status == 0
    assert hub.commits() == {"datasets/owner/data": OLD}
    # Offline, `datasets` takes the data of its cache, of whichever commit.
    outcome = command(*words, f"data.revision={NEW}")
    assert outcome.status == 2 and f"set data.revision={OLD}" in outcome.err
