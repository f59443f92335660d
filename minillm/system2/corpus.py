"""The corpus of the base model: direct and step-by-step demonstrations of all tasks.

A model that is trained on it knows both ways of answering, and the slow one is clearly better. A
row has the prompt of one call as `instruction`, the `output` that a good model gives, and the task
as `topic`. `data=jsonl data.template=plain` reads the files.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from minillm.files import json_lines, write_all
from minillm.system2.filters import universal
from minillm.system2.programs import PROGRAMS
from minillm.system2.question import Question
from minillm.system2.tasks import DEMONSTRATIONS, TASKS, biased_facts, make_questions
from minillm.system2.tasks.task import Responses, Task

Row = dict[str, str]

# Questions that are demonstrated step by step. The numbers give every skill enough examples: a
# question of pair judging has five calls, and the steps of sums are 500 different equations.
STEP_BY_STEP = {
    "last_letters": 2500, "coin_flip": 1500, "biased_facts": 1500, "pair_judging": 1500,
    "sums": 2000,
}  # fmt: skip
# Questions with a direct answer, other than those above. They are few on purpose: the model knows
# what a direct answer looks like, but does not learn to find it. With as many direct answers as
# steps, System 1 would be as good as System 2 on some tasks, and there would be nothing to distil.
# Text on the web has the same imbalance less exactly: it explains more often than it only answers.
DIRECT = {
    "last_letters": 150, "coin_flip": 150, "biased_facts": 1500, "pair_judging": 150, "sums": 150
}  # fmt: skip
# The share of the direct answers to questions with an opinion that repeat the opinion. It makes the
# model sycophantic on purpose, as models are that were trained on the preferences of people
# (arXiv 2310.13548), only more so. The answers of several steps never follow an opinion.
SYCOPHANTIC = 0.8
# Questions of `biased_facts` about which the model chooses among several answers (the filter
# `universal`), the number of the answers, and the share of right ones.
CHOICES, CHOSEN_FROM, RIGHT = 800, 8, 0.7
# The share of rows that are held out for validation, and for the test of the corpus itself.
HELD_OUT = 0.02


def corpus_rows(seed: int) -> Iterator[list[Row]]:
    """The rows of each demonstrated question; equal seeds give equal rows."""
    random = Random(f"{seed} corpus")
    for name, task in TASKS.items():
        steps = STEP_BY_STEP[name]
        questions = make_questions(task, DEMONSTRATIONS, steps + DIRECT[name], seed)
        for i, question in enumerate(questions):
            program = task.programs[i % len(task.programs)] if i < steps else "direct"
            responses = task.demonstrate(question, program)
            if program == "direct":
                responses = [[_direct_answer(task, question, random) or responses[0][0]]]
            calls, _ = demonstrated_calls(question, program, responses)
            yield [{"instruction": prompt, "output": text, "topic": name} for prompt, text in calls]
    for question in make_questions(biased_facts.TASK, DEMONSTRATIONS, CHOICES, seed):
        yield [_choice(question, random)]


def _choice(question: Question, random: Random) -> Row:
    """A choice of the first answer that agrees most with the others."""
    (right,) = question.answers
    answers = [
        right if random.random() < RIGHT else random.choice(biased_facts.GOODS)
        for _ in range(CHOSEN_FROM)
    ]
    chosen = 1 + max(range(CHOSEN_FROM), key=lambda i: answers.count(answers[i]))
    (prompt,) = next(universal(question, answers))
    return {"instruction": prompt, "output": str(chosen), "topic": biased_facts.TASK.name}


def _direct_answer(task: Task, question: Question, random: Random) -> str | None:
    """The user's opinion, in a share of the questions that have one."""
    if task is not biased_facts.TASK or random.random() >= SYCOPHANTIC:
        return None
    return biased_facts.opinion_of(question)


def demonstrated_calls(
    question: Question, program: str, responses: Responses
) -> tuple[list[tuple[str, str]], str]:
    """Run a program on given responses.

    Returns:
        The prompt and response of each call, and the text that holds the answer.

    Raises:
        ValueError: the program makes more or fewer calls than there are responses.
    """
    run = PROGRAMS[program](question)
    prompts, calls = next(run), []
    for row in responses:
        calls += zip(prompts, row, strict=True)
        try:
            prompts = run.send(row)
        except StopIteration as stop:
            if row is not responses[-1]:
                raise ValueError(f"{program} ends before the last responses") from None
            return calls, stop.value
    raise ValueError(f"{program} makes more calls than there are responses")


def write_corpus(folder: Path, seed: int) -> dict[str, int]:
    """Write `train.jsonl`, `validation.jsonl` and `test.jsonl`; returns their numbers of rows.

    All rows of a question are in the same file. Every file has the names and wordings of training.
    """
    random = Random(f"{seed} files")
    rows: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for rows_of_question in corpus_rows(seed):
        draw = random.random() / HELD_OUT
        rows["validation" if draw < 1 else "test" if draw < 2 else "train"] += rows_of_question
    texts = {}
    for name, rows_of_file in rows.items():
        random.shuffle(rows_of_file)
        texts[folder / f"{name}.jsonl"] = json_lines(rows_of_file).encode()
    write_all(texts)
    return {name: len(rows_of_file) for name, rows_of_file in rows.items()}
