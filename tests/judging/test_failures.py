"""`minillm judge`: a server that fails in every way, Ctrl-C, and two processes at once."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.judging.loopback import FAILURES, Loopback, by_rule
from tests.judging.runs import INPUTS, KEY, distinct_questions, result, rows


def test_every_failure_is_survived(judge, caplog):
    """The server fails in each way, one after the other, and then answers."""

    def fails(number: int, _: str) -> str:
        return FAILURES[number] if number < len(FAILURES) else ""

    with Loopback(fails=fails) as server:
        options = ["judge.limit=1", "judge.retries=9", "judge.timeout=1", "judge.concurrency=2"]
        outcome = judge(server, *options)
        assert outcome.status == 0, outcome.err
        assert len(server.requests) == 2 * (len(FAILURES) + 1)
        assert server.times[1] - server.times[0] >= 1  # the server asked for it by Retry-After
        # The server may charge for the six that are neither refused nor answered.
        tokens = 2 * (6 * 512 + 2 * 10)
        assert re.search(f"used: about 20 calls, .* {tokens:,} tokens of answers", caplog.text)
        texts = [body["messages"][0]["content"] for body in server.requests[: len(FAILURES) + 1]]
        assert ["An earlier reply" in text for text in texts] == [False] * len(FAILURES) + [True]
        assert result()["judge"]["malformed_answers"] == 2
        assert result()["metrics"]["judge"]["weights"][1:] == [0] * (INPUTS - 1)
        assert judge(server, *options).status == 0
        assert len(server.requests) == 2 * (len(FAILURES) + 1)


def test_malformed_answers_are_counted_and_not_asked_again_by_the_next_command(judge):
    with Loopback(answer=lambda _: "Both are good.") as server:
        outcome = judge(server, "judge.limit=3")
        assert outcome.status == 0 and "–" in outcome.out
        assert len(server.requests) == 3 * 6
        assert result()["metrics"]["judge"] is None
        summary = result()["judge"]
        assert (summary["malformed_answers"], summary["missing"]) == (18, 3)
        assert judge(server, "judge.limit=3").status == 0 and len(server.requests) == 18
        assert judge(server, "judge.limit=3", "judge.repeats=3", "judge.overwrite=true").status == 0
        assert len(server.requests) == 18 + 6
        server.answer = by_rule  # a limit ends a command whose answers are malformed
        many = judge(server, "judge.limit=9", "judge.max_calls=4", "judge.overwrite=true")
        assert many.status == 2 and len(server.requests) == 24


@pytest.mark.parametrize(
    ("failure", "status", "requests", "message"),
    [
        ("401", 2, 1, "status 401: Incorrect API key: Bearer ***. Correct the address, the key"),
        ("404", 2, 1, "status 404: no such model. Correct"),
        ("400", 2, 1, "status 400: too long, Bearer ***. Correct judge.model or the parameters"),
        (
            "500",
            69,
            3,
            "status 500: broken for Bearer ***, in 3 requests. runs/judge_cache.jsonl has 0",
        ),
        ("html", 69, 3, "the reply is not the answer of a chat: <html>Log in, Bearer ***</html>"),
        ("cut", 69, 3, "no connection ("),
        ("slow", 69, 3, "no answer within judge.timeout=0.5 seconds"),
    ],
)
def test_a_server_that_does_not_answer_ends_the_command(judge, failure, status, requests, message):
    with Loopback(fails=lambda number, question: failure) as server:
        outcome = judge(server, "judge.retries=2", "judge.timeout=0.5")
        assert (outcome.status, len(server.requests)) == (status, requests), outcome.err
        assert message in outcome.err and "judge" not in result()


def test_no_connection_ends_the_command(judge):
    with Loopback() as server:
        pass
    outcome = judge(server, "judge.retries=1")
    assert outcome.status == 69 and "no connection" in outcome.err


def test_a_failure_later_keeps_the_answers(judge):
    """The questions in flight are finished, and the next command asks only the others."""
    with Loopback() as server:
        server.fails = lambda *_: "500" if len(server.requests) == 7 else ""
        outcome = judge(server, "judge.retries=0", "judge.concurrency=3")
        asked = len(server.requests)
        assert outcome.status == 69 and 7 <= asked <= 9, outcome.err
        assert f"judge_cache.jsonl has {asked - 1} answers" in outcome.err
        assert judge(server).status == 0
        assert len(server.requests) == distinct_questions(1) + 1


def test_a_question_that_the_server_refuses_is_counted(judge, caplog):
    def fails(_: int, question: str) -> str:
        return "400" if rows(1)[4]["task"] in question else ""

    with Loopback(fails=fails) as server:
        outcome = judge(server)
        assert outcome.status == 0 and "too long, Bearer ***" in caplog.text
        summary = result()["judge"]
        assert (summary["refused_questions"], summary["missing"]) == (2, 1)
        assert judge(server).status == 0  # asked again, because the server may now read more
        assert len(server.requests) == distinct_questions(1) + 2


def test_damaged_lines_of_the_cache_are_named_and_skipped(judge, caplog):
    cache = Path("runs/judge_cache.jsonl")
    with Loopback() as server:
        assert judge(server).status == 0
        asked = len(server.requests)
        lines = cache.read_text().splitlines(keepends=True)
        lines[2] = lines[2][:40] + "\n"
        cache.write_text("".join(lines)[:-25])  # a process was killed while it wrote the last line
        caplog.clear()
        assert judge(server).status == 0 and len(server.requests) == asked + 2
        for line in (3, asked):
            assert f"judge_cache.jsonl, line {line} is damaged" in caplog.text
        assert judge(server).status == 0 and len(server.requests) == asked + 2


def start(server: Loopback, *words: str) -> subprocess.Popen:
    environment = os.environ | {"OPENAI_BASE_URL": server.address, "OPENAI_API_KEY": KEY}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-m", "minillm", "judge", "runs/a", "judge.model=rule", *words],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell may ignore it
    )  # fmt: skip


def test_two_processes_at_once_ask_nothing_twice(judge):
    with Loopback(seconds=0.3) as server:
        processes = [start(server, "judge.concurrency=3") for _ in range(2)]
        outputs = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        assert len(server.requests) == distinct_questions(1)
    assert len(Path("runs/judge_cache.jsonl").read_text().splitlines()) == distinct_questions(1)


def test_ctrl_c_keeps_what_was_answered(judge):
    with Loopback(seconds=0.3) as server:
        process = start(server, "judge.concurrency=2")
        while len(server.requests) < 5:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        text = process.communicate()[0]
        assert process.returncode == 130 and "the same command continues" in text, text
        kept = len(Path("runs/judge_cache.jsonl").read_text().splitlines())
        assert kept >= 2 and f"has {kept} answers" in text
        asked = len(server.requests)
        assert judge(server).status == 0
        assert len(server.requests) == asked + distinct_questions(1) - kept
