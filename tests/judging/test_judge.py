"""`minillm judge` with a server on loopback: scores, limits and the files of a result."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from minillm.servers.access import OPENAI
from minillm.servers.cache import key_of
from tests.judging.loopback import Loopback, by_rule, score_of
from tests.judging.runs import (
    INPUTS,
    KEY,
    distinct_questions,
    lines_of,
    ratio,
    result,
    rows,
)


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


def test_limits_refuse_before_the_first_request(judge):
    prices = ["judge.price_input=2", "judge.price_output=8", "judge.max_tokens=100"]
    with Loopback() as server:
        count = distinct_questions(1)
        outcome = judge(server, f"judge.max_calls={count - 1}")
        assert outcome.status == 2 and f"need about {count} calls" in outcome.err
        outcome = judge(server, *prices, "judge.max_cost=0.001")
        assert outcome.status == 2 and "judge.max_cost=0.001" in outcome.err
        longer = judge(server, *prices, "judge.max_cost=1", "judge.body.max_tokens=1000000")
        assert longer.status == 2 and f"{count * 10**6:,} tokens of answers" in longer.err
        assert not server.requests and "judge" not in result()
        assert judge(server, *prices, f"judge.max_calls={count}", "judge.max_cost=1").status == 0
        assert server.requests[0]["max_tokens"] == 100
        assert judge(server, *prices, "judge.max_calls=0").status == 0  # all is in the cache


def test_repeated_questions_count_for_the_limit(judge):
    with Loopback(answer=lambda _: "?") as server:
        count = distinct_questions(1)
        outcome = judge(server, f"judge.max_calls={count}")
        assert outcome.status == 2 and "questions that were asked again" in outcome.err
        assert len(server.requests) == count


def test_scores_of_another_judge_are_not_overwritten(judge):
    with Loopback() as server:
        assert judge(server).status == 0
        outcome = judge(server, "judge.temperature=0.5")
        assert outcome.status == 2 and "temperature was 0.0, now 0.5" in outcome.err
        assert judge(server, "judge.temperature=0.5", "judge.overwrite=true").status == 0
        assert result()["judge"]["temperature"] == 0.5
        assert len(server.requests) == 2 * distinct_questions(1)


def test_a_server_does_not_answer_for_another(judge):
    """Local servers may have different models with the same name."""
    for _ in range(2):
        with Loopback() as server:
            assert judge(server, "judge.limit=1", "judge.overwrite=true").status == 0
            assert len(server.requests) == 2
    keys = {key_of({}, 0, address) for address in (OPENAI, "http://a/v1", "http://b/v1")}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [("tiny.responses.jsonl", "was replaced while the judge read it"),
     ("tiny.json", "has other scores of a judge, which are not overwritten: model was else")],
)  # fmt: skip
def test_what_another_command_writes_meanwhile_is_not_lost(judge, name, message):
    file = Path("runs/a/evaluation") / name
    lines = "".join(file.open().readlines()[:-1])
    new = json.dumps(result() | {"judge": {"model": "else"}}) if name == "tiny.json" else lines

    def answer(question: str) -> str:
        file.write_text(new)
        return by_rule(question)

    with Loopback(answer) as server:
        outcome = judge(server, "judge.limit=1")
    assert outcome.status == 2 and message in outcome.err, outcome.err
    assert file.read_text() == new


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
        ((name, wins),) = result()["judge"]["against"].items()
        assert name == "../../b/evaluation/tiny.json"  # from any working folder
        pairs = zip(rows(1), rows(1, "runs/b"), strict=True)
        differences = [score_of(a["response"]) - score_of(b["response"]) for a, b in pairs]
        assert wins["wins"] == pytest.approx(10 * sum(x > 0 for x in differences))
        assert wins["ties"] == pytest.approx(10 * sum(x == 0 for x in differences))
        assert "win rate" in outcome.out
        assert judge(server).status == 0 and "win rate" in judge(server).out  # it is kept
        same = judge(server, "judge.against=runs/a")
        assert same.status == 2 and "is also a result to judge" in same.err


def test_a_missing_package_is_named(judge, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with Loopback() as server:
        outcome = judge(server)
    assert outcome.status == 2 and "pip install -e '.[judge]'" in outcome.err


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        (lambda file: file.unlink(), [], "has no responses: "),
        (lambda file: file.write_text("{}\n"), [], "line 1 is not a response. Evaluate again"),
        (
            lambda file: file.write_text("".join(file.open().readlines()[:9])),
            [],
            "has 9 responses of 1, but",
        ),
        (lambda file: None, ["judge.seeds=[1,3]"], "has no responses of seed 3. It has the seeds"),
        (
            lambda file: file.write_text("".join(file.open().readlines()[:20])),
            ["judge.greedy=true"],
            "has no responses of greedy decoding",
        ),
        (lambda file: None, ["judge.against=runs/c"], "runs/c does not exist"),
        (lambda file: None, ["judge.cache=runs"], "judge.cache=runs cannot be written"),
    ],
)
def test_wrong_results_are_refused(judge, change, words, message):
    change(Path("runs/a/evaluation/tiny.responses.jsonl"))
    with Loopback() as server:
        outcome = judge(server, *words)
        assert outcome.status == 2 and message in outcome.err, outcome.err
        assert not server.requests and "judge" not in result()


def test_older_responses_have_the_prompt_as_task(judge):
    file = Path("runs/a/evaluation/tiny.responses.jsonl")
    lines = [{k: v for k, v in row.items() if k != "task"} for row in lines_of(file.name)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Loopback() as server:
        assert judge(server, "judge.limit=1").status == 0
        assert f"[Task]\n{lines[0]['prompt']}" in server.requests[0]["messages"][0]["content"]


def test_a_short_key_is_no_secret(judge, monkeypatch):
    """Servers without keys are often given a word, which must not change their answers."""
    monkeypatch.setenv("OPENAI_API_KEY", "e")
    with Loopback() as server:
        assert judge(server, "judge.limit=1").status == 0
    assert "decide" in lines_of("tiny.judge.jsonl")[0]["first"]["answers"][0]
