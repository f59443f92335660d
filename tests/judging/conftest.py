"""A run with responses, and the command that judges it."""

import os
import shutil
from pathlib import Path

import pytest

from minillm.servers import server as server_module
from tests.conftest import call
from tests.judging.loopback import Loopback
from tests.judging.runs import KEY


@pytest.fixture(scope="module")
def evaluated(teacher, tmp_path_factory) -> Path:
    """The evaluation folder of a run, with responses of two seeds and of greedy decoding."""
    output = tmp_path_factory.mktemp("evaluated")
    options = ["evaluation.seeds=[1,2]", "evaluation.metrics=[rougeL,length]"]
    assert call("evaluate", teacher, *options, f"output={output}") == 0
    return output / "evaluation"


@pytest.fixture
def judge(command, evaluated, monkeypatch, caplog):
    """Judges `runs/a` in an empty working folder, and checks that nothing shows the key."""
    shutil.copytree(evaluated, "runs/a/evaluation")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("MINILLM_JUDGE_MODEL", raising=False)
    monkeypatch.setattr(server_module, "FIRST_WAIT", 0.001)

    def run(server: Loopback, *words: object, path: str = "runs/a"):
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        outcome = command("judge", path, "judge.model=rule", *words)
        files = [file.read_bytes() for file in Path().rglob("*") if file.is_file()]
        key = os.environ["OPENAI_API_KEY"]
        texts = [outcome.out, outcome.err, caplog.text, *(file.decode() for file in files)]
        assert len(key) < 8 or not any(key in text for text in texts)
        assert "Traceback" not in outcome.err
        return outcome

    return run
