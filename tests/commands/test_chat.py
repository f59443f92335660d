"""`minillm chat` with pipes and in a pseudo-terminal."""

import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import pytest

from minillm.commands.chat import Sampling, Speaker
from minillm.commands.terminal import Screen
from minillm.config import DataConfig, ModelConfig
from minillm.data.tokenizers import load_tokenizer
from minillm.models.language_model import load_model
from minillm.sampling.generate import generate
from minillm.sampling.sampler import Decoding
from minillm.sampling.stream import stream


@pytest.fixture
def typed(command, monkeypatch):
    """Runs the command with lines on its standard input."""

    def run(lines: str | bytes, *words: object):
        content = lines if isinstance(lines, bytes) else lines.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))
        return command(*words)

    return run


@pytest.fixture(scope="module")
def model(teacher):
    return load_model(
        ModelConfig(path=str(teacher / "best")), load_tokenizer(str(teacher / "best"))
    )


@pytest.mark.parametrize("decoding", [Decoding(8), Decoding(8, 0.0), Decoding(8, 0.7, top_p=0.8)])
def test_streamed_tokens_are_those_of_generate(model, decoding):
    prompt = model.tokenizer("Mix red number 1\n")["input_ids"]
    for seed in range(4):
        ((_, rollout),) = generate(model, [prompt], decoding, batch_size=1, seed=seed)
        expected = [i for i in rollout.responses[0] if i not in model.eos_ids]
        assert list(stream(model, prompt, decoding, seed)) == expected


def test_piped_lines_are_answered_by_student_and_teacher(typed, settings, teacher):
    words = ["method=kd", f"teacher.path={teacher}/best", f"student.path={teacher}/best"]
    assert typed("", "train", *settings, *words, "output=run").status == 0
    outcome = typed(
        "Mix red\n\n/temperature 0\nMix red\n/nothing\n/seed x\n/quit\nMix\n", "chat", "run"
    )
    assert outcome.status == 0, outcome.err
    assert "\x1b" not in outcome.out
    parts = outcome.out.split("[run]\n")
    assert len(parts) == 3 and outcome.out.count(f"[{teacher}/best]") == 2
    assert "unknown command /nothing" in parts[2] and "/seed needs a number" in parts[2]
    assert "> Mix\n" not in outcome.out  # after /quit
    student = parts[2].split("\n")[0]
    greedy = typed("", "generate", "run", "--prompt", "Mix red", "evaluation.temperature=0")
    assert student == json.loads(greedy.out)["response"]


def test_options_and_another_model(typed, teacher):
    words = [
        "chat",
        teacher,
        f"{teacher}/last",
        "--max-tokens",
        "2",
        "--seed",
        "3",
        "--top-p",
        "0.5",
    ]
    outcome = typed("Mix red\n", *words)
    assert outcome.status == 0, outcome.err
    assert "temperature 1, top-p 0.5, up to 2 tokens, seed 3; template plain" in outcome.out
    assert f"[{teacher}/last]" in outcome.out
    assert "greedy, up to 2" in typed("", *words[:5], "--greedy").out
    assert "temperature -1" in typed("", "chat", teacher, "--temperature", "-1").err


def test_a_conversation_that_is_too_long_is_refused_and_the_session_goes_on(typed, teacher):
    outcome = typed("x " * 300 + "\nMix\n", "chat", teacher)
    assert outcome.status == 0 and "/clear forgets" in outcome.out
    assert outcome.out.count(f"[{teacher}]") == 1


def test_bytes_that_are_not_text_are_refused_and_the_session_goes_on(typed, teacher):
    outcome = typed(b"Mix \xff red\nMix\n", "chat", teacher)
    assert outcome.status == 0 and "its byte 0xff after 4 characters is not UTF-8" in outcome.out
    assert outcome.out.count(f"[{teacher}]") == 1


def test_a_closed_input_is_refused(command, teacher, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    outcome = command("chat", teacher)
    assert outcome.status == 2 and "the standard input, which is closed" in outcome.err


def test_only_a_chat_template_reads_earlier_turns(model):
    model.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    )
    for template, expected in (
        ("chat", "<user>one<assistant>two<user>three<assistant>"),
        ("plain", "three\n"),
        ("ready", "three"),
    ):
        speaker = Speaker("model", model, DataConfig(template=template))
        speaker.remember("one", "two")
        assert model.tokenizer.decode(speaker.prompt_ids("three")) == expected
    model.tokenizer.chat_template = None


def interrupted(*_):
    """A response during which Ctrl-C is pressed."""
    yield "red"
    yield "red and"
    raise KeyboardInterrupt


def test_an_interrupted_response_is_kept_in_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    assert Screen(["model"]).show([interrupted()]) == ["red and"]


def test_ctrl_c_with_piped_output_ends_the_session(typed, teacher, monkeypatch):
    monkeypatch.setattr(Speaker, "respond", interrupted)
    outcome = typed("Mix red\nMix\n", "chat", teacher)
    assert (outcome.status, outcome.err) == (130, "")
    assert outcome.out.endswith(f"[{teacher}]\nred and\n")


def test_sampling_refuses_numbers_out_of_range():
    for name, value in (("temperature", -1.0), ("top_p", 0.0), ("max_tokens", 0), ("seed", -1)):
        with pytest.raises(ValueError, match=name.replace("_", "-")):
            Sampling(**{name: value})


@contextmanager
def chat_in_a_terminal(*words: str):
    """Starts a session; yields its process and its terminal, which shows the first prompt."""
    terminal, other_end = os.openpty()

    def enter_terminal():  # so that Ctrl-C sends its signal
        os.login_tty(other_end)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # background jobs of a shell ignore it

    process = subprocess.Popen(
        [sys.executable, "-m", "minillm", "chat", *words],
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "20"},
        preexec_fn=enter_terminal,
    )
    try:
        read_until(terminal, lambda text: text.endswith("> "))
        yield process, terminal
    finally:
        process.kill()


def test_a_terminal_shows_both_models_side_by_side(teacher):
    """Also: Ctrl-D quits."""
    words = (str(teacher), f"{teacher}/last", "--greedy")
    with chat_in_a_terminal(*words) as (process, terminal):
        os.write(terminal, b"Mix red\n")
        text = read_until(terminal, lambda text: text.endswith("> ") and "╰" in text)
        titles = [line for line in text.splitlines() if line.count("╭") == 2]
        assert titles and len(re.sub(r"\x1b\[[0-9;?]*\w", "", titles[-1])) <= 101
        os.write(terminal, b"\x04")
        assert process.wait(30) == 0


def test_ctrl_c_at_the_prompt_ends_the_session(teacher):
    with chat_in_a_terminal(str(teacher)) as (process, terminal):
        os.write(terminal, b"half a message")
        for _ in range(3):  # Python misses a signal that arrives just before readline waits
            os.write(terminal, b"\x03")
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break
        assert process.returncode == 130
        rest = read_until(terminal, lambda text: text.endswith("\n"))
        assert "Traceback" not in rest and "minillm:" not in rest


def read_until(terminal: int, is_complete, seconds: float = 60) -> str:
    text, end = "", time.monotonic() + seconds
    while not is_complete(text):
        assert time.monotonic() < end, text
        if select.select([terminal], [], [], 0.2)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
    return text
