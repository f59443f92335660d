"""A model of a run carries its settings. Results of different models never share a file."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from minillm.commands.model_folder import resolve
from minillm.commands.saved_settings import saved_settings

SHORT = ["evaluation.seeds=[1]", "evaluation.limit=2", "evaluation.greedy=false"]


@pytest.fixture
def run_folder(teacher, tmp_path):
    return shutil.copytree(teacher, tmp_path / "run")


def test_a_copied_model_has_the_template_and_the_data_of_its_run(command, run_folder):
    copy = shutil.move("run/best", "copy")
    details = json.loads(Path(copy, "minillm.json").read_text())
    details["config"]["data"] |= {"template": "alpaca", "max_prompt_length": 31}
    Path(copy, "minillm.json").write_text(json.dumps(details))
    data = asdict(resolve(copy, [])[0].data)
    assert data == details["config"]["data"] and data["name"] == "tiny"
    outcome = command("generate", "copy", "--prompt", "Mix red")
    assert "data.max_prompt_length=31" in outcome.err  # with the template, the prompt is too long
    assert command("evaluate", "copy", *SHORT, "data.template=plain").status == 0
    assert list(Path("runs").glob("copy-*/evaluation/tiny.json"))


def test_every_model_of_a_run_has_its_own_result(command, run_folder):
    checkpoint = "run/checkpoints/step-000002"
    models = ["run", "run/best", "run/last", f"{checkpoint}/last", f"{checkpoint}/best"]
    files = [command("evaluate", model, *SHORT, "overwrite=true").status for model in models]
    assert files == [0] * 5
    results = {
        path.name: json.loads(path.read_text()) for path in Path("run/evaluation").glob("*.json")
    }
    assert {name: result["run"]["name"] for name, result in results.items()} == {
        "tiny.json": "teacher",
        "tiny.last.json": "teacher/last",
        "tiny.step-000002-last.json": "teacher/step-000002-last",
        "tiny.step-000002-best.json": "teacher/step-000002-best",
    }
    assert results["tiny.step-000002-last.json"]["training"]["best_step"] == 2
    assert not Path("runs").exists()
    assert command("report", "run", "--output", "tables").status == 0


def test_models_with_the_same_name_have_different_results(run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outputs = set()
    for folder in ("a/model", "b/model"):
        shutil.copytree("run/best", folder)
        outputs.add(resolve(folder, [])[2])
    outputs |= {resolve(name, ["data=embedded"])[2] for name in ("model", "one/gpt2", "two/gpt2")}
    assert len(outputs) == 5 and all(output.parent == Path("runs") for output in outputs)


@pytest.fixture
def project(run_folder, tmp_path, monkeypatch):
    """A project whose run has relative paths to its data and its teacher. Returns the project."""
    folder = tmp_path / "project"
    for name in ("data", "runs/teacher/best"):
        (folder / name).mkdir(parents=True)
    shutil.move(run_folder, folder / "runs/student")
    path = folder / "runs/student/config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["data"]["path"], settings["teacher"]["path"] = "data", "runs/teacher/best"
    path.write_text(yaml.safe_dump(settings | {"output": "runs/student"}))
    record = folder / "runs/student/provenance.json"
    record.write_text(json.dumps({"working_folder": str(folder)}))
    monkeypatch.chdir(tmp_path)
    return folder


def paths(model: Path) -> list[str]:
    saved = saved_settings(model)
    return [saved[section]["path"] for section in ("data", "teacher")]


def test_paths_are_found_from_any_working_folder(project, monkeypatch):
    best = project / "runs/student/best"
    assert paths(best) == [f"{project}/data", f"{project}/runs/teacher/best"]
    monkeypatch.chdir(project)
    assert paths(best) == ["data", "runs/teacher/best"]


def test_paths_are_found_after_a_move(project, tmp_path):
    """The project was moved, then only the run, then the data are gone."""
    moved = project.rename(tmp_path / "moved")
    assert paths(moved / "runs/student/best") == [f"{moved}/data", f"{moved}/runs/teacher/best"]
    alone = (moved / "runs/student").rename(tmp_path / "alone")
    assert paths(alone / "best") == [f"{project}/data", f"{project}/runs/teacher/best"]
    moved.rename(project)
    assert paths(alone / "best") == [f"{project}/data", f"{project}/runs/teacher/best"]


def test_hub_names_are_no_paths(project):
    path = project / "runs/student/config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["data"] |= {"kind": "hub", "path": "data"}
    settings["teacher"]["path"] = "gpt2-xl"
    path.write_text(yaml.safe_dump(settings))
    assert paths(project / "runs/student/best") == ["data", "gpt2-xl"]


def test_a_teacher_whose_run_is_not_finished_is_named(command, run_folder, caplog):
    scored = ["evaluate", "run", *SHORT, "teacher.path=run/best", "overwrite=true"]
    assert command(*scored).status == 0 and "not finished" not in caplog.text
    Path("run/summary.json").unlink()
    assert command(*scored).status == 0
    assert "run is a run that is not finished: its model may still change" in caplog.text
