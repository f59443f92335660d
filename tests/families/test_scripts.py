"""The launch scripts of the families: their settings, and runs with tiny random models."""

import os
import re
import shutil
import subprocess
from ast import literal_eval
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
FAMILIES = sorted(x.name for x in (ROOT / "configs" / "family").iterdir())
PHASES = ("data", "sft", "prune", "init", "kd", "seqkd", "minillm", "lora", "eval")
ALL = sorted(str(x.relative_to(SCRIPTS)) for family in FAMILIES for phase in PHASES
             for x in (SCRIPTS / family / phase).glob("*.sh"))  # fmt: skip
# A padded vocabulary, a chat template, L_PT, responses of a teacher, and scores.
SOME = ["gpt2/minillm/120M.sh", "qwen2.5/minillm/1.5B.sh", "opt/seqkd/1.3B.sh"]

FINE_TUNING = {"training.batch_size": 32, "training.betas": [0.9, 0.999],
               "training.weight_decay": 0.01, "data.max_length": 512}  # fmt: skip
PHASE_2 = {"training.lr": 5e-6, "training.warmup_steps": 100, "training.batch_size": 64,
           "training.steps": 5000, "training.betas": [0.9, 0.95], "training.weight_decay": 1e-6,
           "method.alpha": 0.2, "method.rollouts_per_collection": 256, "method.inner_epochs": 4,
           "method.clip_range": 0.2, "method.lm_coef": 1.0, "method.lm_kd_ratio": 0.5,
           "data.max_prompt_length": 256, "data.max_response_length": 256}  # fmt: skip
PAPER = {
    "gpt2/sft/120M.sh": FINE_TUNING | {"training.lr": 5e-4, "training.epochs": 20},
    "opt/kd/6.7B.sh": FINE_TUNING | {"training.lr": 1e-5, "method.kd_ratio": 0.5},
    "llama/init/7B.sh": FINE_TUNING | {"training.lr": 1e-5, "training.epochs": 3,
                                       "training.select_by": "loss"},
    "llama/minillm/7B.sh": PHASE_2,
}  # fmt: skip


def run(script: str, **variables: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | variables
    return subprocess.run(["bash", str(SCRIPTS / script)], cwd=ROOT, env=environment, text=True,
                          capture_output=True, check=False)  # fmt: skip


@pytest.mark.parametrize("script", PAPER)
def test_scripts_have_the_settings_of_the_paper(script):
    """As in appendix B.1. DRY_RUN=1 prints all settings and needs neither data nor models."""
    done = run(script, DRY_RUN="1", CORPUS="corpus.txt")
    assert done.returncode == 0, done.stderr
    settings = dict(re.findall(r"^([\w.]+)=(\S+)  ", done.stdout, re.MULTILINE))
    for name, value in PAPER[script].items():
        text = settings[name]
        assert text == value if isinstance(value, str) else literal_eval(text) == value, name
    assert settings["teacher.path"] == "null" or settings["teacher.path"].endswith("/teacher/best")


@pytest.mark.parametrize(
    "script", ["qwen2.5/lora/minillm_1.5B.sh", "smollm2/kd/70M.sh", "gptj/minillm/760M.sh"]
)
def test_scripts_name_the_student_once(script, tmp_path):
    done = run(script, DRY_RUN="1", MODELS="models", RUNS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].count("student.path=") == 1


def test_all_keeps_data_that_exist(tmp_path):
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.jsonl").write_text("")
    code = "source scripts/family.sh gpt2; all data"
    done = subprocess.run(["bash", "-euc", code], cwd=ROOT, text=True, capture_output=True,
                          env=os.environ | {"DATA": str(tmp_path)}, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{tmp_path} has data already" in done.stdout


def test_runs_with_scores_are_evaluated_again(tmp_path):
    """`minillm evaluate` adds the measures that the scores of a run lack, and skips the others."""
    (tmp_path / "120M/kd/evaluation").mkdir(parents=True)
    for file in ("summary.json", "evaluation/dolly.json"):
        (tmp_path / "120M/kd" / file).write_text("{}")
    code = "source scripts/family.sh gpt2; evaluate dolly - -"
    done = subprocess.run(["bash", "-euc", code], cwd=ROOT, text=True,
                          capture_output=True, check=False,
                          env=os.environ | {"RUNS": str(tmp_path), "DRY_RUN": "1"})  # fmt: skip
    assert f"launch.sh evaluate {tmp_path}/120M/kd data.name=dolly" in done.stdout, done.stderr


def test_every_size_has_a_script_for_each_phase():
    for family in set(FAMILIES) - {"smollm2"}:  # its students are pruned from the teacher
        sizes = {x.stem for x in (ROOT / "configs" / "family" / family).glob("*.yaml")}
        scripts = {phase: {x.stem for x in (SCRIPTS / family / phase).glob("*.sh")}
                   for phase in PHASES}  # fmt: skip
        assert scripts["sft"] == sizes, family
        for phase in ("init", "kd", "seqkd", "minillm"):
            assert len(sizes - scripts[phase]) == 1 and scripts[phase] < sizes, (family, phase)


def test_scripts_say_what_they_reproduce_and_cost():
    for script in ALL:
        text = (SCRIPTS / script).read_text()
        assert text.startswith("#!/usr/bin/env bash\n# "), script
        assert len(text.splitlines()) <= 12, script
        if script.split("/")[1] in ("sft", "init", "kd", "seqkd", "minillm", "lora"):
            assert "Estimate: " in text or "Measured: " in text, script


def test_a_script_without_data_says_what_to_do(tmp_path):
    done = run("gpt2/sft/120M.sh", DATA=str(tmp_path / "missing"))
    assert done.returncode == 2
    assert "Run bash scripts/gpt2/data/dolly.sh first, or set DATA" in done.stderr


def smoke(script: str, folder: Path) -> None:
    done = run(script, SMOKE="1", RUNS=str(folder / script.split("/")[0]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SOME)
def test_scripts_run_with_tiny_models(script, tmp_path):
    smoke(script, tmp_path)
    assert list(tmp_path.rglob("summary.json"))


@pytest.mark.scripts
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("family", FAMILIES)
def test_all_scripts_of_a_family_run_with_tiny_models(family, tmp_path):
    """In the order of all.sh, so that later phases use the models of earlier phases."""
    for phase in PHASES:
        for script in (x for x in ALL if x.startswith(f"{family}/{phase}/")):
            smoke(script, tmp_path)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shell_scripts_have_no_faults():
    scripts = [*ROOT.rglob("scripts/**/*.sh"), SCRIPTS / "slurm.sbatch", ROOT / ".ci" / "run"]
    done = subprocess.run(["shellcheck", *map(str, scripts)], cwd=ROOT, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout
