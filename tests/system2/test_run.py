"""Programs: what is asked, in which rounds, and that questions do not disturb each other."""

import pytest

from minillm.errors import InputError
from minillm.system2.answering import answer_all
from minillm.system2.answers import only_writer, read_answers
from minillm.system2.programs import JUDGES, PROGRAMS
from minillm.system2.question import Question, read_questions, write_questions
from minillm.system2.run import Call, run

PLAIN = Question("q", "Is it?", ("yes",))
PAIR = Question("p", "Why?", ("A",), candidates=("left", "right"))


class Echo:
    """Answers a prompt with its key, and notes how many prompts came together."""

    def __init__(self):
        self.rounds = []

    def respond(self, prompts, keys):
        self.rounds.append(len(prompts))
        return [Call(p, f"{key}\nsecond line", 2) for p, key in zip(prompts, keys, strict=True)]


def test_all_programs_run_together_and_alone():
    questions = [(PAIR if name in JUDGES else PLAIN, name) for name in PROGRAMS]

    def started(pairs):
        return [(f"{q.id}-{name}", 0, PROGRAMS[name](q)) for q, name in pairs]

    echo = Echo()
    together = run(started(questions), echo)
    alone = [trace for pair in questions for trace in run(started([pair]), Echo())]
    assert together == alone
    calls = {t.question: len(t.calls) for t in together}
    names = ["q-direct", "q-chain_of_thought", "q-rephrase", "q-rephrase_twice", "q-attention"]
    assert calls == dict(zip(names, [1, 1, 1, 2, 2], strict=True)) | {"p-branch_solve_merge": 4}
    assert echo.rounds == [6, 4, 1]  # both criteria are scored in one round
    assert [t.tokens for t in together] == [2 * n for n in calls.values()]


def test_prompts_hold_what_the_procedure_says():
    traces = {name: run([("x", 0, PROGRAMS[name](PAIR))], Echo())[0] for name in PROGRAMS}
    prompts = {name: [call.prompt for call in trace.calls] for name, trace in traces.items()}
    assert all("A: left\nB: right" in prompts[name][0] for name in PROGRAMS if name not in JUDGES)
    first, *scores, last = prompts["branch_solve_merge"]
    assert "left" not in first and all("A: left\nB: right" in prompt for prompt in scores)
    assert "left" not in last and "x#0#1" in last  # the decision reads scores only
    assert "Why?" not in prompts["attention"][1]  # and this answer only what was copied
    assert "Why?" in prompts["rephrase_twice"][1]


def test_an_interrupted_file_of_answers_is_continued(tmp_path):
    path, made_with = tmp_path / "answers.jsonl", {"seed": 1}
    questions = [Question(str(i), f"{i}?") for i in range(3)]

    def answers(some=questions, settings=made_with, speaker=Echo):
        return answer_all(path, settings, some, 2, PROGRAMS["direct"], speaker)

    whole = answers()
    assert [(t.question, t.sample) for t in whole] == [
        (str(i), j) for i in range(3) for j in (0, 1)
    ]
    assert answers(speaker=None) == whole  # nothing is asked
    path.write_text(path.read_text()[:-30])
    echo = Echo()
    assert answers(speaker=lambda: echo) == whole == read_answers(path)
    assert echo.rounds == [1]
    with pytest.raises(InputError, match=r"with seed=1 \(now 2\)\. Give another output"):
        answers(settings={"seed": 2})
    path.write_text("no json\n")
    with pytest.raises(InputError, match="does not hold answers"):
        answers()


def test_a_file_that_is_cut_within_a_character_is_continued(tmp_path):
    path, questions = tmp_path / "answers.jsonl", [Question("ü", "Ü?"), Question("ö", "Ö?")]
    traces = answer_all(path, {}, questions, 1, PROGRAMS["direct"], Echo)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex("ö".encode()) + 1])
    assert answer_all(path, {}, questions, 1, PROGRAMS["direct"], Echo) == traces
    assert path.read_bytes() == content


def test_two_commands_do_not_write_the_same_file(tmp_path):
    path = tmp_path / "answers.jsonl"
    with only_writer(path), pytest.raises(InputError, match="another command writes"):
        answer_all(path, {}, [PLAIN], 1, PROGRAMS["direct"], Echo)
    assert len(answer_all(path, {}, [PLAIN], 1, PROGRAMS["direct"], Echo)) == 1


def test_a_line_that_introduces_criteria_is_none():
    class Judge(Echo):
        def respond(self, prompts, keys):
            self.rounds.append(prompts)
            return [Call(x, "Here are the criteria:\n- short\n\n* true", 2) for x in prompts]

    judge = Judge()
    run([("x", 0, PROGRAMS["branch_solve_merge"](PAIR))], judge)
    assert [x.rpartition(": ")[2] for x in judge.rounds[1]] == ["short", "true"]


def test_questions_are_the_same_after_writing_and_reading(tmp_path):
    path = tmp_path / "questions.jsonl"
    changed = Question("3", "Who?", ("me", "I"), variants=("Which person?",), group="easy")
    write_questions(path, [PLAIN, PAIR, changed])
    assert read_questions(path) == [PLAIN, PAIR, changed]
    path.write_text('{"question": "How many?", "answer": 3}\n')
    assert read_questions(path) == [Question("1", "How many?", ("3",))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no questions"),
        ('{"answer": "x"}\n', "line 1: the column `text` must hold the question"),
        ('{"text": "x", "candidates": ["a"]}\n', "must hold two responses, but it has 1"),
        ('{"text": "x", "candidates": ["a", "b"], "answer": "a"}\n', "must be A, B or tie"),
        ('{"text": "x", "answers": [null]}\n', "`answers` must hold texts"),
        ('{"text": "x", "id": 1}\n{"text": "y", "id": 1}\n', "the id '1' occurs twice"),
    ],
)
def test_bad_questions_are_refused(tmp_path, content, message):
    path = tmp_path / "questions.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_questions(path)
