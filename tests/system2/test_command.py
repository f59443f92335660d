"""`minillm system2`, step by step, with a model that has learned next to nothing."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from minillm.system2.answers import read_answers
from tests.conftest import BUILT, call, write_jsonl

FEW = ["system2.samples=2", "system2.filter=none", "output=study"]
TRAINING = ["training.steps=2", "training.warmup_steps=0", "training.evaluate_every=2",
            "training.validation_inputs=2", "training.batch_size=2"]  # fmt: skip


@pytest.fixture(scope="module")
def base(settings, tmp_path_factory) -> Path:
    """A run of a model that can read long prompts."""
    output = tmp_path_factory.mktemp("runs") / "base"
    longer = ["data.max_prompt_length=200", "data.max_teacher_prompt_length=300"]
    assert call("train", *settings, *BUILT, *longer, "method=sft", f"output={output}") == 0
    return output


@pytest.fixture
def step(command, base):
    """Does a step on questions about colours, whose answer is the first line of a response."""
    write_jsonl(Path("train.jsonl"), [{"question": f"Colour {i}?"} for i in range(6)])
    tested = [{"text": f"Hue {i}?", "answer": "red", "variants": [f"Which hue {i}?"],
               "group": "odd" if i % 2 else "even"} for i in range(4)]  # fmt: skip
    write_jsonl(Path("test.jsonl"), tested)
    words = ["system2.path=.", "system2.extractor=text", *FEW]

    def run(name: str, *more: str, model: Path | str = base):
        program = [] if any(x.startswith("system2.program") for x in more) else [
            "system2.program=rephrase_twice"]  # fmt: skip
        return command("system2", name, model, *words, *program, *more)

    return run


def read(path: str) -> dict:
    return json.loads(Path(path).read_text())


def test_all_steps(step, command):
    early = step("filter")
    assert early.status == 2 and "lacks 12 of 12 answers" in early.err
    assert step("train").status == 2
    assert step("generate").status == 0
    traces = read_answers(Path("study/answers/rephrase_twice.jsonl"))
    assert [(t.question, t.sample) for t in traces] == [(str(i // 2 + 1), i % 2) for i in range(12)]
    assert all(len(t.calls) == 2 and t.calls[0].response in t.calls[1].prompt for t in traces)
    assert len({t.calls[0].response for t in traces}) > 1
    assert step("filter").status == 0
    kept = Path("study/kept/rephrase_twice-none")
    counts = read(f"{kept}/counts.json")
    assert counts["questions"] == 6 and 2 <= counts["kept"] <= 6
    assert 0 < counts["longest_teacher_prompt"] <= 300
    rows = [json.loads(x) for name in ("train", "validation")
            for x in (kept / f"{name}.jsonl").read_text().splitlines()]  # fmt: skip
    assert len(rows) == counts["kept"]
    by_id = {trace.question: trace for trace in reversed(traces)}
    assert all(by_id[row["id"]].calls[1].prompt in row["teacher_prompt"] for row in rows)
    assert "Colour" in (kept / "samples.md").read_text()

    for method in ("sft", "minillm"):
        more = [f"experiment=system2/{method}", f"system2.name={method}", *TRAINING]
        if method == "minillm":
            more += ["method.rollouts_per_collection=2", "method.inner_epochs=1"]
        assert step("train", *more).status == 0, method
        assert Path(f"study/models/{method}/best").is_dir()
    again = step("train", "experiment=system2/sft", "system2.name=sft", *TRAINING)
    assert again.status == 0 and "validation at step" not in again.err
    rows = (kept / "train.jsonl").read_text()
    (kept / "train.jsonl").write_text(rows.partition("\n")[2])
    other = step("train", "experiment=system2/sft", "system2.name=sft", *TRAINING)
    assert other.status == 2 and "was trained on other answers" in other.err
    (kept / "train.jsonl").write_text(rows)

    assert step("evaluate", "system2.name=system2").status == 0
    at_once = ["system2.program=direct", "system2.name=sft"]
    assert step("evaluate", *at_once, model="study/models/sft").status == 0
    scores = read("study/scores/sft.json")
    assert len(scores["exact_match"]["per_input"]) == 4 and set(scores["groups"]) == {"odd", "even"}
    assert scores["training"]["rows"] == counts["kept"]
    assert scores["tokens"]["mean"] < read("study/scores/system2.json")["tokens"]["mean"]
    date = scores["record"]["provenance"]["date"]
    assert step("evaluate", *at_once, model="study/models/sft").status == 0
    assert read("study/scores/sft.json")["record"]["provenance"]["date"] == date

    assert command("system2", "report", "study", "--output", "report").status == 0
    table = Path("report/table.md").read_text()
    assert "| sft " in table and "| system2 " in table and Path("report/accuracy.png").is_file()
    assert command("system2", "report", "report/scores.json", "--output", "again").status == 0
    assert Path("again/table.md").read_text() == table


def test_answers_of_other_settings_are_refused(step, base):
    assert step("generate").status == 0
    other = step("generate", "system2.seed=2")
    assert other.status == 2 and "made with seed=1 (now 2)" in other.err
    assert step("filter").status == 0
    other = step("train", "system2.least_share=0.9", *TRAINING)
    assert other.status == 2 and "least_share=0.5 (now 0.9)" in other.err
    other = step("train", *TRAINING, model=another_model(base))
    assert other.status == 2 and "made with another model" in other.err


def another_model(base: Path) -> Path:
    """A copy of the best model of the run with one other weight."""
    folder = Path("another")
    shutil.copytree(base / "best", folder)
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_name_has_one_training_and_one_model(step, base):
    assert step("generate").status == step("filter").status == 0
    assert step("train", "system2.name=x", "runtime.device=cuda", *TRAINING).status == 2
    assert step("train", "system2.name=x", *TRAINING).status == 0
    other = step("train", "system2.name=x", "training.lr=0.5", *TRAINING)
    assert other.status == 2 and "training.lr (was" in other.err
    assert step("evaluate", "system2.name=x").status == 0
    other = step("evaluate", "system2.name=x", model=another_model(base))
    assert other.status == 2 and "holds scores that were made with another model" in other.err
    assert step("evaluate").status == step("evaluate", model=base / "last").status == 0
    names = {path.name for path in Path("study/scores").glob("*-rephrase_twice.json")}
    assert names == {"base-rephrase_twice.json", "base-last-rephrase_twice.json"}


def test_nothing_is_answered_in_vain(step, command):
    write_jsonl(Path("test.jsonl"), [{"text": "Hue?"}])
    early = step("evaluate")
    assert early.status == 2 and "no answer, such as '1'" in early.err
    assert not Path("study/scores").exists()
    for words, message in (
        (["system2.name=../x"], "system2.name=../x is not allowed"),
        (["output=train.jsonl/x"], "output=train.jsonl/x"),
    ):
        wrong = step("generate", *words)
        assert wrong.status == 2 and message in wrong.err
    wrong = command("system2", "corpus", "output=.")
    assert wrong.status == 2 and "not empty" in wrong.err
    Path("empty.json").write_text("[]")
    wrong = command("system2", "report", "empty.json", "--output", "report")
    assert wrong.status == 2 and "no scores" in wrong.err


def test_a_prompt_that_is_too_long_is_named(step, caplog):
    assert step("evaluate", "data.max_prompt_length=20").status == 0
    assert "are longer than data.max_prompt_length=20 tokens" in caplog.text
    scores = read("study/scores/base-rephrase_twice.json")
    assert scores["record"]["too_long_prompts"] > 0


def test_only_scores_of_the_same_questions_are_compared(step, command):
    assert step("evaluate", "system2.name=system1", "system2.program=direct").status == 0
    write_jsonl(Path("test.jsonl"), [{"text": f"Other {i}?", "answer": "red"} for i in range(4)])
    assert step("evaluate", "system2.name=system2").status == 0
    assert command("system2", "report", "study", "--output", "report").status == 0
    row = next(x for x in Path("report/table.md").read_text().splitlines() if "| system2" in x)
    assert row.split("|")[3].strip() == "–"
