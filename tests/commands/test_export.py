"""`minillm export` writes a folder that loads, and a card that says what is known."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import huggingface_hub
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from minillm.commands import export
from minillm.commands.card import INSTRUCTION
from minillm.compat import hub
from minillm.evaluation.frontier import Frontier, FrontierPoint, PointValue
from minillm.reporting.model_card import sharpening
from minillm.reporting.results import load_results
from tests.conftest import BUILT, call


@pytest.fixture(scope="module")
def student(settings, teacher, tmp_path_factory) -> Path:
    """A run of KD with scores."""
    output = tmp_path_factory.mktemp("runs") / "student"
    words = ["method=kd", f"teacher.path={teacher}/best", f"student.path={teacher}/best"]
    assert call("train", *settings, *words, f"output={output}") == 0
    assert call("evaluate", output, "evaluation.seeds=[1]", "evaluation.frontier=[0.5,1.0]") == 0
    return output


def metadata(folder: str) -> dict:
    return huggingface_hub.metadata_load(Path(folder) / "README.md")


def test_a_run_with_scores(command, student, teacher):
    record = json.loads((student / "provenance.json").read_text())
    given = "minillm train 'data.path=/home/ada/my data' 'x=[{path:/home/ada/a},{path:b/c}]' y=z"
    (student / "provenance.json").write_text(json.dumps(record | {"command": given}))
    outcome = command("export", student, "out", "--license", "mit", "--dtype", "bfloat16")
    assert outcome.status == 0, outcome.err
    assert AutoModelForCausalLM.from_pretrained("out").dtype == torch.bfloat16
    card = Path("out/README.md").read_text()
    assert metadata("out") == {
        "library_name": "transformers", "license": "mit", "pipeline_tag": "text-generation",
        "tags": ["minillm", "distillation", "kd"],
    }  # fmt: skip
    result = json.loads((student / "evaluation/tiny.json").read_text())["metrics"]["rougeL"]
    interval = f"{result['ci_low']:.1f} to {result['ci_high']:.1f}"
    row = next(line for line in card.splitlines() if line.startswith("| ROUGE-L"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    mean, greedy = (f"{result[name]:.1f}" for name in ("mean", "greedy"))
    assert cells[:4] == ["ROUGE-L", mean, interval, greedy]
    assert "| train      |       25 |" in card and "kd_ratio: 0.5" in card
    teacher_text = "best of the run teacher; trained with method sft, from random weights"
    assert f"Teacher: {teacher_text}" in card
    shown = "minillm train 'data.path=.../my data' 'x=[{path:.../a},{path:b/c}]' y=z"
    assert shown in card and "Part of a high score" in card
    assert str(teacher.parent) not in card and str(student.parent) not in card


def test_the_code_of_the_card_gives_the_responses_of_minillm_generate(command, student, capsys):
    assert command("export", student, "out").status == 0
    code = Path("out/README.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code, {})
    printed = capsys.readouterr().out.strip()
    outcome = command("generate", student, "--prompt", INSTRUCTION,
                      "evaluation.temperature=0")  # fmt: skip
    line = json.loads(outcome.out)
    assert printed == line["response"]
    assert f"prompt = {line['prompt']!r}" in code


def test_a_chat_template_ends_responses_with_its_own_token(command, teacher, tmp_path):
    """The generation config names the token, so that `generate` of transformers stops there."""
    folder = shutil.copytree(teacher / "best", tmp_path / "chat")
    (folder / "minillm.json").unlink()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<end>"], special_tokens=True)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<end>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    outcome = command("export", folder, "out")
    assert outcome.status == 0, outcome.err
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end>")]
    assert GenerationConfig.from_pretrained("out").eos_token_id == ends
    card = Path("out/README.md").read_text()
    assert "apply_chat_template" in card and f"user: {INSTRUCTION}<end>assistant:" in card
    assert "`minillm evaluate" in card and "## Training" not in card
    generated = command("generate", folder, "--prompt", "Hello", "data.max_prompt_length=30",
                        "data.max_response_length=2")  # fmt: skip
    assert generated.status == 0, generated.err
    assert json.loads(generated.out)["prompt"] == "user: Hello<end>assistant: "
    plain = command("export", folder, "plain", "data.template=plain")
    assert plain.status == 0 and "template `plain`" in Path("plain/README.md").read_text()


def test_a_pruned_model_names_its_origin_on_the_hub(command, student, settings):
    assert command("prune", student, "pruned", "ffn=20").status == 0
    record = json.loads(Path("pruned/minillm.json").read_text())
    Path("pruned/minillm.json").write_text(
        json.dumps(
            record | {"original": "owner/large", "revision": "v1", "hub": {"owner/large@v1": "c0"}}
        )
    )
    outcome = command("train", *settings, "method=sft", "student.path=pruned", "output=run")
    assert outcome.status == 0, outcome.err
    assert command("export", "run", "out").status == 0
    assert metadata("out")["base_model"] == "owner/large"
    card = Path("out/README.md").read_text()
    assert "- trained with method sft, from pruned" in card
    assert "parameters, from owner/large at commit c0" in card
    assert "No scores exist yet. `minillm evaluate out` makes them." in card
    assert "Teacher:" not in card
    again = command("export", "out", "again")  # the folder itself can be exported
    assert again.status == 0 and metadata("again")["base_model"] == "owner/large"


def test_a_model_of_others_has_no_claims(command, teacher, tmp_path):
    """Neither our template, nor licences of a training, nor the name of a folder as a base."""
    folder = shutil.copytree(teacher / "best", tmp_path / "owner/foreign")
    (folder / "minillm.json").unlink()
    outcome = command("export", folder.relative_to(tmp_path), "out")
    assert outcome.status == 0, outcome.err
    assert metadata("out") == {"library_name": "transformers", "pipeline_tag": "text-generation"}
    card = Path("out/README.md").read_text()
    assert "It is not known how prompts were made" in card and "template `" not in card
    assert "The licence of the model applies." in card and "of the teacher" not in card


def test_an_adapter_is_merged(command, settings, teacher):
    words = [f"student.path={teacher}/best", "student.lora.rank=2", "student.lora.saves=adapter"]
    assert command("train", *settings, "method=sft", *words, "output=run").status == 0
    outcome = command("export", "run/last", "out")
    assert outcome.status == 0, outcome.err
    model = AutoModelForCausalLM.from_pretrained("out")
    assert not Path("out/adapter_config.json").exists() and not Path("out/adapter").exists()
    card = Path("out/README.md").read_text()
    assert f"{model.num_parameters():,} parameters in float32" in card
    assert "lora:\n    rank: 2" in card and "`minillm evaluate out`" in card


def test_a_data_set_that_is_gone_is_said(command, settings, tmp_path, data_folder):
    data = shutil.copytree(data_folder, tmp_path / "data")
    words = [word for word in settings if not word.startswith("data.path=")]
    assert command("train", *words, *BUILT, "method=sft", f"data.path={data}",
                   "output=run").status == 0  # fmt: skip
    shutil.rmtree(data)
    outcome = command("export", "run", "out")
    assert outcome.status == 0, outcome.err
    assert "could not be read at the time of the export" in Path("out/README.md").read_text()


def test_weights_that_the_precision_cannot_hold_are_refused(command, teacher, tmp_path):
    folder = shutil.copytree(teacher / "best", tmp_path / "large")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.transformer.ln_f.weight[3] = 1e6
    model.save_pretrained(folder)
    outcome = command("export", folder, "out", "--dtype", "float16")
    assert outcome.status == 2 and "Give --dtype bfloat16 or float32" in outcome.err
    assert not Path("out").exists()


class Api:
    """Stands for `HfApi`, and stores the calls."""

    calls: ClassVar[list] = []
    exists = False
    fault: Exception | None = None

    def whoami(self) -> dict:
        return {"name": "owner"}

    def repo_exists(self, name: str) -> bool:
        return self.exists

    def create_repo(self, name: str, *, private: bool) -> str:
        self.calls.append(("create", name, private))
        return f"https://huggingface.co/{name}"

    def upload_folder(self, *, repo_id, folder_path, ignore_patterns, commit_message) -> None:
        if self.fault:
            raise self.fault
        self.calls.append(("upload", repo_id, folder_path, ignore_patterns))


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(export, "HfApi", Api)
    monkeypatch.setattr(hub, "is_reachable", lambda: True)
    monkeypatch.setattr(Api, "calls", [])
    return Api


def test_the_working_folder_is_refused(command, teacher, tmp_path, monkeypatch):
    source = Path(teacher).absolute()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    outcome = command("export", str(source), ".")
    assert outcome.status == 2 and ". is the working folder" in outcome.err
    assert list(Path.cwd().iterdir()) == []


def test_push_uploads_to_a_new_private_repository(command, teacher, api):
    outcome = command("export", teacher, "out", "--push", "owner/small")
    assert outcome.status == 0 and "https://huggingface.co/owner/small (private)" in outcome.out
    assert api.calls == [
        ("create", "owner/small", True), ("upload", "owner/small", "out", ["minillm.json"])
    ]  # fmt: skip
    assert "name = 'owner/small'" in Path("out/README.md").read_text()


def test_push_overwrites_nothing_and_a_failed_upload_keeps_the_folder(
    command, teacher, api, monkeypatch
):
    monkeypatch.setattr(api, "exists", True)
    outcome = command("export", teacher, "out", "--push", "owner/small")
    assert outcome.status == 2 and "nothing is overwritten" in outcome.err
    assert not Path("out").exists() and api.calls == []
    monkeypatch.setattr(api, "exists", False)
    monkeypatch.setattr(api, "fault", hub.REQUEST_ERRORS[0]("the connection was lost"))
    outcome = command("export", teacher, "out", "--push", "owner/small")
    assert outcome.status == 74 and "hf upload owner/small out" in outcome.err
    assert Path("out/model.safetensors").is_file()


def test_sharpening_needs_scores_at_several_temperatures(student):
    (result,) = load_results([student / "evaluation/tiny.json"])
    point = FrontierPoint(1.0, 1.0, {"rougeL": PointValue(50.0), "diversity": PointValue(0.9)})
    one = Frontier(2, [point])
    assert sharpening(replace(result, frontier=None)) is None
    assert sharpening(replace(result, frontier=one)) is None
    two = Frontier(2, [point, replace(point, temperature=0.5)])
    assert "50.0 at temperature 0.5 (diversity 0.90)" in sharpening(replace(result, frontier=two))
