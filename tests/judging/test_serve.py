"""`minillm judge` with `transformers serve` and a model with random weights."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tests.conftest import call

TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


@pytest.fixture(scope="module")
def server(teacher, tmp_path_factory):
    """The address of the server, its model, and a function that stops it."""
    folder = tmp_path_factory.mktemp("served") / "model"
    tokenizer = AutoTokenizer.from_pretrained(teacher / "best")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=2048,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    process = subprocess.Popen(
        [program, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def stop() -> None:
        process.terminate()
        process.wait(timeout=60)

    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/health", process)
        yield f"{address}/v1", folder, stop
    finally:
        stop()


def wait_for(address: str, process: subprocess.Popen) -> None:
    while process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("transformers serve has ended")


@pytest.mark.slow
def test_a_real_server_is_asked_once(teacher, server, command, monkeypatch):
    """Random weights write nonsense, which is counted. The cache needs no server."""
    address, model, stop = server
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert call("evaluate", teacher, "evaluation.seeds=[1]", "output=run") == 0
    options = [f"judge.model={model}", "judge.limit=3", "judge.max_tokens=8", "judge.timeout=60"]
    outcome = command("judge", "run", *options)
    assert outcome.status == 0, outcome.err
    summary = json_of("run/evaluation/tiny.json")["judge"]
    assert (summary["malformed_answers"], summary["answers"], summary["missing"]) == (18, 18, 3)
    assert summary["output_tokens"] > 0 and str(model) in summary["answered_by"][0]
    stop()
    assert command("judge", "run", *options).out == outcome.out
    refused = command("judge", "run", *options, "judge.limit=4", "judge.retries=0")
    assert refused.status == 2 and "inputs was 3, now 4" in refused.err
    replaced = [*options, "judge.limit=4", "judge.retries=0", "judge.overwrite=true"]
    outcome = command("judge", "run", *replaced)
    assert outcome.status == 69 and "no connection" in outcome.err


def json_of(path: str) -> dict:
    return json.loads(Path(path).read_text())
