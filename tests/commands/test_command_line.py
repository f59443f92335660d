"""The command line: any order of words and options, paths as values, files of settings, help."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from minillm.cli import parse
from minillm.compose import compose_settings, load_config
from minillm.settings.groups import GROUP_NAMES, description, files_of, group_file

GENERATE = ["runs/x", "evaluation.temperature=0", "--prompt", "Hi", "data=e2e"]


@pytest.mark.parametrize("turn", range(4))
def test_models_settings_and_options_have_any_order(turn):
    words = [*GENERATE[:2], GENERATE[2:4], *GENERATE[4:]]
    turned = words[turn:] + words[:turn]
    line = [part for word in turned for part in (word if isinstance(word, list) else [word])]
    parsed = parse(["generate", *line])
    assert parsed.models == ["runs/x"] and parsed.prompt == ["Hi"]
    assert sorted(parsed.overrides) == ["data=e2e", "evaluation.temperature=0"]


def test_options_and_words_of_the_other_verbs_have_any_order():
    parsed = parse(["report", "--output", "o", "--diversity", "0.8", "0.9", "runs", "--title", "t"])
    assert (parsed.paths, parsed.diversity, parsed.output) == (["runs"], [0.8, 0.9], "o")
    parsed = parse(["evaluate", "experiment=embedded/kd", "runs/x", "data.seed=1", "runs/y"])
    assert parsed.models == ["runs/x", "runs/y"] and len(parsed.overrides) == 2
    assert parse(["data", "--export", "out", "data=e2e"]).overrides == ["data=e2e"]


def test_a_word_with_a_slash_before_its_equals_sign_is_a_model():
    assert parse(["evaluate", "runs/a=b", "./a=b", "data.seed=1"]).models == ["runs/a=b", "./a=b"]


@pytest.mark.parametrize(
    "path",
    ["modèle/日本", "a b", "a,b", "a (b)", "a[1]", "a{1}", "a=b", "a$b", "$HOME", "it's", 'a"b',
     "a#b", "a:b", "a\\b", "-a", "@a", "1e3", "true", "a*?b", "a;b|c&d", " a ", "{a:1}", "[a]"],
)  # fmt: skip
def test_a_text_is_taken_as_it_is_written(path):
    keys = ("output", "resume", "data.path", "data.columns.id")
    config = compose_settings([f"{key}={path}" for key in keys]).config
    assert [OmegaConf.select(config, key) for key in keys] == [path] * len(keys)


def test_home_quotes_and_null(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    config = load_config(["output=~/runs/a", "data.path='a b'", "data.subset=null"])
    assert (config.output, config.data.path) == ("/home/ada/runs/a", "a b")
    assert config.data.subset is None
    assert parse(["evaluate", "~/runs/x"]).models == ["/home/ada/runs/x"]
    report = parse(["report", "--output=~/out", "--diversity", "0.8", "~/runs"])
    assert (report.paths, report.output) == (["/home/ada/runs"], "/home/ada/out")
    for verb, option in (("data", "export"), ("data prepare", "output"), ("plan", "throughput")):
        assert vars(parse([*verb.split(), f"--{option}=~/x"]))[option] == "/home/ada/x"
    assert parse(["generate", "x", "--prompt", "~/a text"]).prompt == ["~/a text"]


def test_lists_mappings_and_numbers_follow_the_grammar():
    config = load_config(
        ["method=kd", "teacher.kind=ensemble", "evaluation.seeds=[1,2]",
         "teacher.members=[{path: 'a (b)', weight: 2}]", "training.steps=1e3",
         "method.divergence={forward_kl:0.7,reverse_kl:0.3}"]
    )  # fmt: skip
    assert config.training.steps == 1000 and isinstance(config.training.steps, int)
    assert config.evaluation.seeds == [1, 2] and config.teacher.members[0].path == "a (b)"
    assert config.method.divergence == {"forward_kl": 0.7, "reverse_kl": 0.3}


def test_a_setting_replaces_its_alternative():
    config = load_config(["training.epochs=2"])
    assert (config.training.steps, config.training.epochs) == (None, 2)
    config = load_config(["experiment=embedded/init", "student.path=gpt2"])
    assert (config.student.architecture, config.student.path) == (None, "gpt2")


@pytest.mark.parametrize("option", ["--config {}", "experiment={}"])
def test_a_copied_experiment_has_the_settings_of_the_experiment(command, option):
    assert command("copy", "embedded/minillm_average_reward", "my.yaml").status == 0
    overrides = parse(["train", *option.format("my.yaml").split(), "training.lr=1"]).overrides
    original = load_config(["experiment=embedded/minillm_average_reward", "training.lr=1"])
    assert load_config(overrides) == original


def test_a_file_of_settings_may_name_files_of_groups(command):
    Path("my.yaml").write_text("experiment: embedded/minillm\nruntime: cpu\ntraining: {steps: 1e1}")
    config = load_config(["experiment=my.yaml", "runtime=auto"])
    assert (config.method.name, config.runtime.device) == ("minillm", "auto")
    assert (config.training.steps, config.training.lr) == (10, 4e-3)


@pytest.mark.parametrize(
    ("text", "answer"),
    {
        "training: {stepz: 3}": "unknown setting 'training.stepz'. Did you mean 'training.steps'?",
        "training: {steps: many}": "training.steps: Value 'many'",
        "method: kdd": "unknown method in my.yaml 'kdd'. Did you mean 'kd'?",
        "defaults: [method: kd]": "has a list `defaults`",
        "training: [": "cannot be read",
        "[1, 2]": "holds no settings",
    }.items(),
)
def test_a_wrong_file_of_settings_is_named(command, text, answer):
    Path("my.yaml").write_text(text)
    outcome = command("show", "--config", "my.yaml")
    assert outcome.status == 2 and "my.yaml" in outcome.err and answer in outcome.err


def test_the_command_line_wins_over_a_file_of_settings(teacher):
    file = f"experiment={teacher}/config.yaml"
    config = load_config([file, "method=minillm", "runtime=cpu", "data.seed=3"])
    assert config.method.name == "minillm" and config.method.rollouts_per_collection == 256
    assert config.runtime.threads == 1, "runtime=cpu says nothing about threads"
    assert config.data.seed == 3 and config.data.path.endswith("data0")


def test_the_file_of_a_run_starts_it_again(command, teacher):
    config = Path(teacher) / "config.yaml"
    first = command("train", "--config", config)
    assert first.status == 2 and "holds another run" in first.err
    again = command("train", "--config", config, "output=again")
    assert again.status == 0, again.err
    weights = [
        (folder / "last/model.safetensors").read_bytes() for folder in (teacher, Path("again"))
    ]
    assert weights[0] == weights[1]


def test_the_responses_of_seqkd_belong_to_the_new_run(command):
    saved = {"method": {"name": "seqkd", "source": "teacher", "file": "runs/a.responses.jsonl"},
             "output": "runs/a"}  # fmt: skip
    Path("a.yaml").write_text(yaml.safe_dump(saved))
    config = compose_settings(["experiment=a.yaml", "output=runs/b"]).typed()
    assert config.method.file == "runs/b.responses.jsonl"


def test_show_says_where_each_setting_was_set(command):
    outcome = command("show", "experiment=embedded/minillm", "training.lr=1e-3", "student=null")
    assert outcome.status == 2
    outcome = command("show", "experiment=embedded/minillm", "training.lr=1e-3", "teacher.path=a b")
    lines = dict(line.rsplit("  ", 1) for line in outcome.out.splitlines())
    origins = {key.strip(): origin for key, origin in lines.items()}
    assert origins["training.lr=0.001"] == "command line"
    assert origins["teacher.path=a b"] == "command line"
    assert origins["method.inner_epochs=4"] == "configs/experiment/embedded/minillm.yaml"
    assert origins["training.schedule=cosine"] == "configs/experiment/embedded/_base.yaml"
    assert origins["data.template=plain"] == "configs/data/embedded.yaml"
    assert origins["method.rewards=sampled"] == "variant paper"
    assert origins["training.betas=[0.9,0.95]"] == "default"


def test_show_prints_settings_that_are_not_complete(command):
    outcome = command("show", "experiment=paper/minillm")
    assert outcome.status == 0 and "data.path is not set" in outcome.err
    assert "training.lr=5e-06" in outcome.out


def test_list_describes_every_file(command):
    text = command("list").out
    for group in GROUP_NAMES.values():
        for name in files_of(group):
            line = description(group_file(group, name))
            assert len(line) > 10 and f"  {name} " in text and line in text, (group, name)
    assert "embedded/kd" not in command("list", "methods").out


def everything_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_a_dry_run_of_training_writes_nothing(command, settings, teacher):
    built = ["student.architecture=gpt2", "student.hidden_size=16", "student.layers=1"]
    for method in ("kd", "seqkd"):
        outcome = command(
            "train", *settings, *built, f"method={method}", f"teacher.path={teacher}/best",
            "student.vocab_size=300", f"student.tokenizer={teacher}/best", "output=out",
            "dry_run=true", "training.steps=null", "training.epochs=4",
            "runtime.attn_implementation=eager", "runtime.gradient_checkpointing=true",
        )  # fmt: skip
        assert outcome.status == 0, outcome.err
        steps = {"kd": 32, "seqkd": 25}[method]  # 4 epochs of 25 inputs, which have 32 references
        assert f"steps:      {steps} of 4" in outcome.out and "25 training inputs" in outcome.out
        assert "1 process(es), gradient checkpointing, attention eager" in outcome.out
        assert everything_below(Path()) == []


def test_a_dry_run_of_evaluate_writes_nothing(command, teacher):
    before = everything_below(teacher)
    outcome = command("evaluate", teacher, "dry_run=true", "evaluation.seeds=[1,2]")
    assert outcome.status == 0 and "10 test inputs" in outcome.out and "seeds 1, 2" in outcome.out
    assert everything_below(teacher) == before


def test_near_folders_are_named(command, teacher):
    shutil.copytree(teacher / "best", "models/teacher")
    for line in (
        ["evaluate", "models/techer"],
        ["train", "method=kd", "teacher.path=models/techer"],
    ):
        outcome = command(*line)
        assert outcome.status == 2 and "Did you mean models/teacher?" in outcome.err
    assert "student.path" not in command("evaluate", "models/techer").err


@pytest.mark.parametrize("module", ["minillm", "minillm.cli"])
def test_both_modules_run(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "train", "training.stepz=1"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "'training.steps'" in done.stderr


def test_wrong_settings_are_answered_without_the_library_of_models():
    code = (
        "import sys\n"
        "from minillm.cli import main\n"
        "try: main(['train', 'training.stepz=1'])\n"
        "except SystemExit: print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_a_hub_that_cannot_be_reached_is_answered_quickly():
    """Only the waiting counts, not the import of the libraries."""
    code = (
        "import time\n"
        "from minillm.config import DataConfig\n"
        "from minillm.data.loaders import load_records\n"
        "from minillm.data.tokenizers import load_tokenizer\n"
        "import datasets\n"
        "start = time.monotonic()\n"
        "for load in (lambda: load_tokenizer('nobody/gpt3'),\n"
        "             lambda: load_records(DataConfig(kind='hub', path='nobody/x'), ['test'])):\n"
        "    try: load()\n"
        "    except ValueError as error: print(error)\n"
        "print(time.monotonic() - start)\n"
    )
    variables = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True
    )
    model, data, seconds = done.stdout.splitlines()
    assert "nobody/gpt3" in model and "nobody/x" in data
    assert float(seconds) < 5


def completions(line: str) -> list[str]:
    """What argcomplete answers for a command line, in bash."""
    environment = os.environ | {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_TYPE": "9",
        "COMP_POINT": str(len(line)), "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": "answer", "_ARGCOMPLETE_SHELL": "fish",
    }  # fmt: skip
    subprocess.run([sys.executable, "-m", "minillm"], env=environment, check=True)
    return Path("answer").read_text().split("\n")


def test_the_shell_completes_settings(tmp_path, monkeypatch):
    pytest.importorskip("argcomplete")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert "train" in completions("minillm t")
    assert "training.lr=" in completions("minillm train training.l")
    assert "experiment=embedded/kd" in completions("minillm train experiment=embedded/k")
    assert "method.variant=official" in completions("minillm train method.variant=o")
    assert "runs/" in completions("minillm evaluate ru")
