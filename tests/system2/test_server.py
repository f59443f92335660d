"""A server in place of MODEL: each call is asked once, whatever the server does."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
from transformers import LlamaConfig

from minillm.data.tokenizers import train_tokenizer
from minillm.errors import InputError, ServerError
from minillm.servers import server as server_module
from minillm.system2.run import Call
from minillm.system2.server import open_server
from minillm.system2.settings import System2Config, System2ServerConfig, read_study
from tests.conftest import write_jsonl
from tests.judging.loopback import Loopback
from tests.judging.runs import KEY

QUESTIONS, SAMPLES = 3, 2
CALLS = 2  # of the program `rephrase_twice`, the second one after the first


def by_rule(prompt: str) -> str:
    return "With more detail." if "State this question again" in prompt else "yes"


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["yes or no"], 300)


@pytest.fixture
def environment(monkeypatch):
    """Sets the address of a server, and a key."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(server_module, "FIRST_WAIT", 0.001)
    return lambda server: monkeypatch.setenv("OPENAI_BASE_URL", server.address)


@pytest.fixture
def opened(environment, tokenizer, tmp_path, caplog):
    """Opens a speaker with settings of the server; the log must not show the key."""

    @contextmanager
    def speaker(server: Loopback, temperature: float = 1.0, **settings):
        environment(server)
        settings = {"model": "big", "cache": str(tmp_path / "cache.jsonl")} | settings
        config = System2Config(server=System2ServerConfig(**settings))
        with open_server(config, tokenizer, temperature) as speaker:
            yield speaker
        assert KEY not in caplog.text + (tmp_path / "cache.jsonl").read_text()

    return speaker


@pytest.fixture
def system2(command, environment, tokenizer, caplog):
    """Runs a step with a model that has no weights, and checks that nothing shows the key."""
    tokenizer.save_pretrained("model")
    LlamaConfig(vocab_size=len(tokenizer)).save_pretrained("model")
    Path("model/model.safetensors").write_bytes(b"no weights")
    rows = [{"text": f"Is {i} a number?", "answer": "yes"} for i in range(QUESTIONS)]
    Path("data").mkdir()
    for split in ("train", "test"):
        write_jsonl(Path("data", f"{split}.jsonl"), rows)

    def run(step: str, *words: object):
        outcome = command(
            "system2", step, "model", "system2.path=data", "system2.program=rephrase_twice",
            "system2.extractor=text", f"system2.samples={SAMPLES}", "output=out", *words,
        )  # fmt: skip
        files = [file.read_bytes() for file in Path().rglob("*") if file.is_file()]
        assert not any(KEY.encode() in content for content in files)
        assert KEY not in outcome.out + outcome.err + caplog.text
        return outcome

    run.environment = environment
    return run


def test_generate_and_filter_ask_nothing_twice(system2, caplog, monkeypatch):
    expected = QUESTIONS * SAMPLES * CALLS
    answers = Path("out/answers/rephrase_twice.jsonl")
    with Loopback(by_rule) as server:
        system2.environment(server)
        outcome = system2("generate", "system2.server.model=big")
        assert outcome.status == 0, outcome.err
        assert len(server.requests) == expected and server.keys == {f"Bearer {KEY}"}
        assert f"used: about {expected} calls" in caplog.text
        assert {x["model"] for x in server.requests} == {"big"}
        assert {x["temperature"] for x in server.requests} == {1.0}
        assert len({x["seed"] for x in server.requests}) == expected  # each has its own answer
        written = answers.read_text()
        assert system2("generate", "system2.server.model=big").status == 0
        answers.unlink()
        nothing_more = ["system2.server.model=big", "system2.server.max_calls=0"]
        assert system2("generate", *nothing_more).status == 0
        assert answers.read_text() == written and len(server.requests) == expected
        for words, message in (
            (["system2.server.model=small"], "server={'model': 'big'"),
            ([], "made with another model"),  # MODEL itself
        ):
            refused = system2("generate", *words)
            assert refused.status == 2 and message in refused.err, refused.err
        other_seed = ["output=other", "system2.seed=2", "system2.server.model=big"]
        assert system2("generate", *other_seed).status == 0
        assert len(server.requests) == 2 * expected
    monkeypatch.delenv("OPENAI_BASE_URL")
    outcome = system2("filter", "system2.server.model=big")  # needs no server
    assert outcome.status == 0, outcome.err
    kept = json.loads(Path("out/kept/rephrase_twice-majority/counts.json").read_text())
    assert (kept["kept"], kept["tokens_per_answer"]) == (QUESTIONS, 20)


def test_an_interrupted_round_is_continued(system2):
    expected = QUESTIONS * SAMPLES * CALLS
    with Loopback(by_rule) as server:
        system2.environment(server)
        server.fails = lambda *_: "500" if len(server.requests) == expected - 2 else ""
        words = ["system2.server.model=big", "system2.server.retries=0"]
        outcome = system2("generate", *words, "system2.server.concurrency=2")
        asked = len(server.requests)
        assert outcome.status == 69 and expected - 2 <= asked < expected, outcome.err
        assert f"runs/system2_cache.jsonl has {asked - 1} answers" in outcome.err
        assert not Path("out/answers/rephrase_twice.jsonl").read_text().count("calls")
        assert system2("generate", *words).status == 0
        assert len(server.requests) == expected + 1


def test_evaluate_measures_time_only_without_cached_answers(system2, command):
    with Loopback(by_rule) as server:
        system2.environment(server)
        words = ["system2.server.model=big"]
        outcome = system2("evaluate", *words)
        assert outcome.status == 0, outcome.err
        assert len(server.requests) == QUESTIONS * CALLS
        assert {x["temperature"] for x in server.requests} == {0}
        scores = json.loads(Path("out/scores/big-rephrase_twice.json").read_text())
        assert (scores["exact_match"]["mean"], scores["tokens"]["mean"]) == (100, 20)
        assert scores["seconds"] > 0
        record = scores["record"]["server"]
        assert record["answered_by"] == ["rule-2026"] and record["address"] == server.address
        assert (record["requests"], record["answers_of_the_cache"]) == (QUESTIONS * CALLS, 0)
        assert system2("evaluate", *words, "system2.name=again").status == 0
        assert len(server.requests) == QUESTIONS * CALLS
    again = json.loads(Path("out/scores/again.json").read_text())
    assert again["seconds"] is None and again["tokens"] == scores["tokens"]
    assert command("system2", "report", "out", "--output", "tables").status == 0
    lines = Path("tables/table.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:]] for line in lines]
    seconds = {row[0]: row[6] for row in cells if len(row) > 6}
    assert seconds["again"] == "–" != seconds["big-rephrase_twice"]


def test_failures_of_the_server_are_survived(opened):
    failures = ["429", "500", "cut", "html"]
    with Loopback(by_rule) as server:
        server.fails = lambda number, _: failures[number] if number < len(failures) else ""
        with opened(server) as speaker:
            assert speaker.respond(["a?", "b?"], ["a", "b"]) == [
                Call("a?", "yes", 10),
                Call("b?", "yes", 10),
            ]
        assert len(server.requests) == 2 * (len(failures) + 1)


@pytest.mark.parametrize(
    ("failure", "timeout", "kind", "message"),
    [
        ("401", 60, InputError, "the key or system2.server.model"),
        ("400", 60, InputError, "Correct system2.server.model or the parameters"),
        ("slow", 1, ServerError, "within system2.server.timeout=1 seconds"),
    ],
)
def test_a_server_that_answers_nothing_is_asked_once(opened, failure, timeout, kind, message):
    with Loopback(by_rule, fails=lambda *_: failure) as server:
        with opened(server, retries=0, timeout=timeout) as speaker, pytest.raises(kind) as error:
            speaker.respond(["a?", "b?"], ["a", "b"])
        assert message in str(error.value) and len(server.requests) == 1


def test_a_refused_prompt_has_an_empty_response(opened, caplog):
    """A prompt may be too long. The shortest one is asked first, so the others are answered."""
    prompts = ["much too long?", "a?", "b?"]
    with Loopback(by_rule, fails=lambda _, prompt: "400" if "long" in prompt else "") as server:
        with opened(server) as speaker:
            calls = speaker.respond(prompts, ["1", "2", "3"])
            assert [(x.response, x.tokens) for x in calls] == [("", 0), ("yes", 10), ("yes", 10)]
            assert speaker.refused == speaker.record()["refused_calls"] == 1
        assert "1 of 3 calls are refused" in caplog.text and "too long, Bearer ***" in caplog.text


def test_a_limit_refuses_a_round_before_its_first_request(opened):
    with Loopback(by_rule) as server:
        with opened(server, max_calls=3) as speaker:
            speaker.respond(["a?", "b?"], ["a", "b"])
            with pytest.raises(InputError, match=r"about 4 calls, .*system2\.server\.max_calls=3"):
                speaker.respond(["c?", "d?"], ["c", "d"])
            assert len(server.requests) == 2
            speaker.respond(["a?", "b?", "c?"], ["a", "b", "c"])  # two of them are in the cache
        assert len(server.requests) == 3


def test_tokens_are_counted_here_if_the_server_counts_none(opened, tokenizer, caplog):
    with Loopback(lambda _: "yes or no", usage=None) as server, opened(server) as speaker:
        (call,) = speaker.respond(["a?"], ["a"])
        assert call.tokens == len(tokenizer("yes or no").input_ids) + 1
    assert "not counted the tokens of 1 of 1 answers" in caplog.text


def test_an_answer_of_the_greatest_length_is_named(opened, caplog):
    with Loopback(by_rule) as server, opened(server, max_tokens=10) as speaker:
        assert speaker.respond(["a?"], ["a"]) == [Call("a?", "yes", 10)]
        assert server.requests[0]["max_tokens"] == 10
    assert "1 of 1 answers have the greatest length" in caplog.text


def test_a_file_of_settings_may_name_the_server(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "{path: data, program: direct, extractor: text, server: {model: big, body: {top_p: 0.9}}}"
    )
    words = [f"system2={file}", "system2.server.max_tokens=9", "system2.server.body.n=1"]
    server = read_study(words).config.server
    assert (server.model, server.max_tokens) == ("big", 9)
    assert server.body == {"top_p": 0.9, "n": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["system2.server.modle=big"], "Did you mean 'server.model'?"),
        (["system2.server.timeout=0"], "system2.server.timeout=0.0 is not allowed"),
        (["system2.server.max_cost=1"], "system2.server.max_cost=1 needs prices"),
        (["system2.server.model=big"], "no server is given"),
    ],
)
def test_wrong_settings_are_refused(system2, monkeypatch, words, message):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    outcome = system2("generate", *words)
    assert outcome.status == 2 and message in outcome.err, outcome.err
