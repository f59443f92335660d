"""`minillm judge` with a server on loopback that answers, or fails in every way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minillm.judging import server as server_module
from tests.conftest import call
from tests.judging.loopback import FAILURES, Loopback, by_rule, score_of

KEY = "sk-a/very+secret='key'"
INPUTS = 10


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
        texts = [outcome.out, outcome.err, caplog.text, *(file.decode() for file in files)]
        assert not any(KEY in text or json.dumps(KEY)[1:-1] in text for text in texts)
        assert "Traceback" not in outcome.err
        return outcome

    return run


def result(run: str = "runs/a") -> dict:
    return json.loads(Path(run, "evaluation/tiny.json").read_text())


def lines_of(name: str, run: str = "runs/a") -> list[dict]:
    return [json.loads(x) for x in Path(run, "evaluation", name).read_text().splitlines()]


def rows(seed: object, run: str = "runs/a") -> list[dict]:
    return [row for row in lines_of("tiny.responses.jsonl", run) if row["seed"] == seed]


def ratio(seed: object) -> float:
    totals = [
        (score_of(row["response"]), score_of(row["references"][0])) for row in rows(seed)
    ]  # the rule does not depend on the order
    return 100 * sum(own for own, _ in totals) / sum(other for _, other in totals)


def distinct_questions(*seeds: object) -> int:
    pairs = {(row["task"], row["response"], row["references"][0]) for s in seeds for row in rows(s)}
    return 2 * len(pairs)


def test_scores_are_added_to_the_result_and_nothing_is_asked_twice(judge, command):
    before = result()
    with Loopback(seconds=0.1) as server:
        outcome = judge(server, "judge.seeds=[1,2]", "judge.greedy=true", "judge.concurrency=4")
        assert outcome.status == 0, outcome.err
        asked = distinct_questions(1, 2, "greedy")
        assert len(server.requests) == asked and server.keys == {f"Bearer {KEY}"}
        assert server.most_in_flight == 4
        after = result()
        metric, summary = after["metrics"].pop("judge"), after.pop("judge")
        assert after == before
        assert metric["per_seed"] == pytest.approx({"1": ratio(1), "2": ratio(2)})
        assert metric["greedy"] == pytest.approx(ratio("greedy"))
        assert (summary["model"], summary["answered_by"]) == ("rule", ["rule-2026"])
        assert (summary["server"], summary["missing"]) == (server.address, 0)
        assert summary["order_effect"]["mean"] == 0 and summary["provenance"]["machine"]
        text = server.requests[0]["messages"][0]["content"]
        assert rows(1)[0]["task"] in text and server.requests[0]["temperature"] == 0
        again = judge(server, "judge.seeds=[1,2]", "judge.greedy=true")
        assert again.out == outcome.out and len(server.requests) == asked
    assert f"{metric['mean']:.1f} [" in outcome.out
    judged = lines_of("tiny.judge.jsonl")
    assert len(judged) == 3 * INPUTS
    assert judged[0]["first"]["answers"] == [by_rule(text)]
    assert judged[0]["second"]["scores"] == judged[0]["first"]["scores"][::-1]
    report = command("report", "runs", "--output", "tables")
    assert report.status == 0 and f"{metric['mean']:.1f} [" in report.out, report.err
    assert Path("tables/judge.png").is_file()
    refused = command("evaluate", "runs/a", "evaluation.metrics=[judge]")
    assert refused.status == 2


def test_every_failure_is_survived(judge):
    """The server fails in each way, one after the other, and then answers."""

    def fails(number: int, _: str) -> str:
        return FAILURES[number] if number < len(FAILURES) else ""

    with Loopback(fails=fails) as server:
        options = ["judge.limit=1", "judge.retries=9", "judge.timeout=1", "judge.concurrency=2"]
        outcome = judge(server, *options)
        assert outcome.status == 0, outcome.err
        assert len(server.requests) == 2 * (len(FAILURES) + 1)
        assert server.times[1] - server.times[0] >= 1  # the server asked for it by Retry-After
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
        ("500", 69, 3, "status 500: broken for Bearer ***, in 3 requests. All 0 answers are in"),
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
        assert f"All {asked - 1} answers are in" in outcome.err
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


def test_limits_refuse_before_the_first_request(judge):
    prices = ["judge.price_input=2", "judge.price_output=8", "judge.max_tokens=100"]
    with Loopback() as server:
        count = distinct_questions(1)
        outcome = judge(server, f"judge.max_calls={count - 1}")
        assert outcome.status == 2 and f"need at most {count} calls" in outcome.err
        outcome = judge(server, *prices, "judge.max_cost=0.001")
        assert outcome.status == 2 and "judge.max_cost=0.001" in outcome.err
        assert not server.requests and "judge" not in result()
        assert judge(server, *prices, f"judge.max_calls={count}", "judge.max_cost=1").status == 0
        assert server.requests[0]["max_tokens"] == 100
        assert judge(server, *prices, "judge.max_calls=0").status == 0  # all is in the cache


def test_repeated_questions_count_for_the_limit(judge):
    with Loopback(answer=lambda _: "?") as server:
        count = distinct_questions(1)
        outcome = judge(server, f"judge.max_calls={count}")
        assert outcome.status == 2 and "answers that are asked for again" in outcome.err
        assert len(server.requests) == count


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


def test_scores_of_another_judge_are_not_overwritten(judge):
    with Loopback() as server:
        assert judge(server).status == 0
        outcome = judge(server, "judge.temperature=0.5")
        assert outcome.status == 2 and "temperature was 0.0, now 0.5" in outcome.err
        assert judge(server, "judge.temperature=0.5", "judge.overwrite=true").status == 0
        assert result()["judge"]["temperature"] == 0.5
        assert len(server.requests) == 2 * distinct_questions(1)


def test_win_rate_against_another_model(judge):
    shutil.copytree("runs/a", "runs/b")
    lines = lines_of("tiny.responses.jsonl", "runs/b")
    for number, line in enumerate(lines):
        line["response"] = "x" * number
    file = Path("runs/b/evaluation/tiny.responses.jsonl")
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Loopback() as server:
        outcome = judge(server, "judge.against=runs/b")
        assert outcome.status == 0, outcome.err
        (wins,) = result()["judge"]["against"].values()
        pairs = zip(rows(1), rows(1, "runs/b"), strict=True)
        differences = [score_of(a["response"]) - score_of(b["response"]) for a, b in pairs]
        assert wins["wins"] == pytest.approx(10 * sum(x > 0 for x in differences))
        assert wins["ties"] == pytest.approx(10 * sum(x == 0 for x in differences))
        assert "win rate" in outcome.out
        assert judge(server).status == 0 and "win rate" in judge(server).out  # it is kept
        same = judge(server, "judge.against=runs/a")
        assert same.status == 2 and "is also a result to judge" in same.err


def start(server: Loopback, *words: str) -> subprocess.Popen:
    environment = os.environ | {"OPENAI_BASE_URL": server.address, "OPENAI_API_KEY": KEY}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-m", "minillm", "judge", "runs/a", "judge.model=rule", *words],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
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
        assert kept >= 2 and f"All {kept} answers" in text
        asked = len(server.requests)
        assert judge(server).status == 0
        assert len(server.requests) == asked + distinct_questions(1) - kept


def test_a_missing_package_is_named(judge, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with Loopback() as server:
        outcome = judge(server)
    assert outcome.status == 2 and "pip install -e '.[judge]'" in outcome.err
