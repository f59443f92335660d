"""Questions that the project makes, with a seed. Test questions have other names and wordings.

    from minillm.system2.tasks import TASKS, make_questions
    questions = make_questions(TASKS["coin_flip"], "train", 1000, seed=0)

`wording` says how names and wordings are divided between the splits.
"""

import zlib
from dataclasses import replace
from random import Random

from minillm.errors import InputError, unknown_name
from minillm.system2.question import Question
from minillm.system2.tasks import biased_facts, coin_flip, last_letters, pair_judging, sums
from minillm.system2.tasks.task import Task
from minillm.system2.tasks.wording import DEMONSTRATIONS, SPLITS, TEST, TRAIN

TASKS: dict[str, Task] = {
    module.TASK.name: module.TASK
    for module in (last_letters, coin_flip, biased_facts, pair_judging, sums)
}
MAX_DRAWS = 1000  # in a row that give no new question


def make_questions(task: Task, split: str, count: int, seed: int) -> list[Question]:
    """Draw different questions of a split: `demonstrations`, `train` or `test`.

    Equal arguments give equal questions. No question is in two splits, for any seeds.

    Raises:
        InputError: there is no such split, or the task has fewer different questions.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    random = Random(f"{seed} {task.name} {split}")
    questions: dict[tuple, Question] = {}
    draws = 0
    while len(questions) < count:
        question = task.question(random, split)
        key = (question.text, question.candidates)
        if key not in questions and _is_in(question, split):
            name = f"{task.name}/{split}/{seed}/{len(questions)}"
            questions[key] = replace(question, id=name)
            draws = 0
        draws += 1
        if draws > MAX_DRAWS:
            raise InputError(
                f"the task {task.name} has no more than about {len(questions)} different questions "
                f"for {split}, but {count} were asked for. Ask for fewer."
            )
    return list(questions.values())


def _is_in(question: Question, split: str) -> bool:
    """Whether a question with the names and wordings of the split belongs to it.

    A checksum divides the questions for demonstrations from those that the model later answers. The
    order of candidates does not matter to it.
    """
    if split == TEST:
        return True
    text = "\n".join((question.text, *sorted(question.candidates or ())))
    return (zlib.crc32(text.encode()) % 2 == 0) == (split == DEMONSTRATIONS)


__all__ = ["DEMONSTRATIONS", "SPLITS", "TASKS", "TEST", "TRAIN", "Task", "make_questions"]
