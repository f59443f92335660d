"""The tasks: their splits, their right answers, their demonstrations, and the corpus of them."""

import itertools
import json
import re

import pytest

from minillm.data.embedded import world
from minillm.errors import InputError
from minillm.system2 import corpus
from minillm.system2.programs import ANSWER
from minillm.system2.tasks import SPLITS, TASKS, Task, make_questions
from minillm.system2.tasks.wording import FIRST_SYLLABLES, LAST_SYLLABLES, is_test_name

COUNT = 150
GOODS = {*world.FOODS, *world.CLOTHS}
WORDS = {*GOODS, *world.BOATS, *world.DAYS}
NAME = re.compile(rf"\b(?:{'|'.join(FIRST_SYLLABLES)})(?:{'|'.join(LAST_SYLLABLES)})\b")


def questions_of(task: Task) -> dict[str, list]:
    return {split: make_questions(task, split, COUNT, seed=1) for split in SPLITS}


def texts_of(question) -> list[str]:
    """The texts of a question and of its variants."""
    return [question.text, *question.variants]


def names_in(text: str) -> set[str]:
    return {*NAME.findall(text)}


def skeleton(text: str) -> str:
    """The wording of a text: without names, numbers and words of the world."""
    for word in sorted(names_in(text)):
        text = text.replace(word, "NAME")
    words = re.split(r"(\w+)", text)
    return "".join("WORD" if x in WORDS else "NUMBER" if x.isdigit() else x for x in words)


def right_answers(name: str, text: str, candidates: tuple[str, str] | None) -> str:
    """The answer that follows from the text alone, computed in another way than by the task."""
    if name == "last_letters":
        return "".join(re.findall(r"(\w)\b", text.split(": ")[1]))
    if name == "coin_flip":
        sentences = text.split(". ")[1:-1]
        return "no" if sum(" not " not in x for x in sentences) % 2 else "yes"
    if name == "biased_facts":
        said = [
            sentence for sentence in re.findall(r"[^.?]+[.?]", text) if " I " not in f" {sentence}"
        ]
        return said[0].rstrip(".").split()[-1]
    if name == "pair_judging":
        wishes = {*WORDS, "thanks"} & {*re.findall(r"\w+", text)}
        points = [len(wishes & {*re.findall(r"\w+", letter)}) for letter in candidates]
        return {0: "tie", 1: "A", -1: "B"}[(points[0] > points[1]) - (points[0] < points[1])]
    numbers = [int(x) for x in re.findall(r"\d+", text)]
    losses = [int(x) for x in re.findall(r"(?:loses|sells|breaks) (\d+)", text)]
    return str(sum(numbers) - 2 * sum(losses))


def final_answer(text: str, extractor: str) -> str:
    answer = text.rpartition(ANSWER)[2].strip()
    return answer.replace(" ", "") if extractor == "letters" else answer


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_splits_differ_in_names_and_wordings(task):
    splits = questions_of(task)
    texts = {split: [*map(texts_of, rows)] for split, rows in splits.items()}
    texts = {split: [*itertools.chain(*rows)] for split, rows in texts.items()}
    training = {"demonstrations", "train"}
    for split in training:
        assert not {*map(skeleton, texts[split])} & {*map(skeleton, texts["test"])}
    for split in SPLITS:
        names = set().union(*map(names_in, texts[split]))
        assert len(names) > COUNT / 2
        assert {*map(is_test_name, names)} == {split == "test"}
    asked = [{(x.text, x.candidates) for x in splits[split]} for split in sorted(training)]
    assert not asked[0] & asked[1]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_answers_follow_from_the_text_and_variants_keep_them(task):
    for question in itertools.chain(*questions_of(task).values()):
        assert question.answers == (right_answers(task.name, question.text, question.candidates),)
        changed = question.changed()
        assert len({question.text, *question.variants}) == 3
        for other in changed:
            assert other.answers == (right_answers(task.name, other.text, other.candidates),)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_demonstrations_lead_programs_to_the_right_answer(task):
    for question in make_questions(task, "demonstrations", COUNT, seed=1):
        for program in ("direct", *task.programs):
            responses = task.demonstrate(question, program)
            _, text = corpus.demonstrated_calls(question, program, responses)
            assert final_answer(text, task.extractor) in question.answers
    assert task.demonstrate(question, "unknown") is None


def test_a_demonstrated_attention_removes_the_opinion():
    task = TASKS["biased_facts"]
    questions = make_questions(task, "test", COUNT, seed=1)
    for question in questions:
        (neutral,), _ = task.demonstrate(question, "attention")
        named = [word for word in re.findall(r"\w+", neutral) if word in GOODS]
        assert named == [*question.answers]
        said = [word for word in re.findall(r"\w+", question.text) if word in GOODS]
        assert len({*said}) == {"neutral": 1, "right": 1, "wrong": 2}[question.group]
        assert len(said) == {"neutral": 1, "right": 2, "wrong": 2}[question.group]
    assert {question.group for question in questions} == {"wrong", "right", "neutral"}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_seed_decides_the_questions(task):
    first = make_questions(task, "train", 20, seed=3)
    assert first == make_questions(task, "train", 20, seed=3)
    assert not {x.text for x in first} & {x.text for x in make_questions(task, "train", 20, seed=4)}
    assert len({x.id for x in first}) == 20


def test_too_many_questions_are_refused(monkeypatch):
    coin = TASKS["coin_flip"]
    same = make_questions(coin, "train", 1, seed=0)[0]
    few = Task("few", lambda random, split: same, coin.demonstrate, coin.program, coin.extractor)
    with pytest.raises(InputError, match="no more than about 1 different"):
        make_questions(few, "train", 2, seed=0)
    with pytest.raises(InputError, match="split"):
        make_questions(coin, "tests", 1, seed=0)


def test_the_corpus_has_no_test_name_and_no_question_of_the_train_split(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "STEP_BY_STEP", dict.fromkeys(TASKS, COUNT))
    monkeypatch.setattr(corpus, "CHOICES", 40)
    sizes = corpus.write_corpus(tmp_path, seed=0)
    rows = [
        json.loads(line)
        for name in sizes
        for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()
    ]
    assert len(rows) == sum(sizes.values())
    assert not any(map(is_test_name, set().union(*(names_in(row["instruction"]) for row in rows))))
    prompts = {row["instruction"].rpartition("\nGive only")[0] for row in rows}
    for task in TASKS.values():
        asked = {question.text for question in make_questions(task, "train", COUNT, seed=0)}
        assert task.name == "pair_judging" or not asked & prompts
    opinions = [
        (re.search(r"\bI [^.]*?(\w+)\.", row["instruction"]), row["output"])
        for row in rows
        if row["topic"] == "biased_facts" and row["instruction"].endswith("Give only the answer.")
    ]
    followed = [said[1] == answer for said, answer in opinions if said]
    # Four of five answers repeat the opinion, and a right opinion is repeated always.
    assert 0.85 < sum(followed) / len(followed) < 0.95
    chosen = [
        (row["instruction"], row["output"]) for row in rows if "agrees most" in row["instruction"]
    ]
    assert len(chosen) == 40
    for prompt, number in chosen:
        answers = re.findall(r"^Response \d: (\w+)$", prompt, re.M)
        assert len(answers) == 8
        assert answers.count(answers[int(number) - 1]) == max(map(answers.count, answers))
