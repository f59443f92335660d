"""Programs: how a model answers a question in one call or in several.

A program is a generator. It yields the prompts of calls that do not depend on each other, receives
the responses to them, and returns the text that holds the answer. A model of this project, a chat
model or a server can run it (`minillm/system2/run.py`).

The procedures are those of arXiv 2407.06023, section 4: rephrase and respond (2311.04205), System 2
attention (2311.11829), branch-solve-merge (2310.15123) and chain of thought (2201.11903). The
wording of the prompts is our own.
"""

from collections.abc import Callable, Generator

from minillm.system2.question import Question

Calls = Generator[list[str], list[str], str]
Program = Callable[[Question], Calls]

ANSWER = "Answer:"  # what a model writes before the answer if it writes more than the answer
# The answer has a line of its own, so that it has the same tokens as an answer without steps.
THEN = f'Then write "{ANSWER}" and the answer on the next line.'
MAX_CRITERIA = 5  # of branch-solve-merge


def direct(question: Question) -> Calls:
    """System 1: the model answers at once."""
    (answer,) = yield [at_once(question)]
    return answer


def at_once(question: Question) -> str:
    """The prompt of System 1, which the distilled model is trained on."""
    return f"{asked(question)}\nGive only the answer."


def asked(question: Question) -> str:
    """The question, with both candidates if there are two."""
    if question.candidates is None:
        return question.text
    return f"{pair(question)}\nWhich answer is better: A, B or tie?"


def pair(question: Question) -> str:
    """The question and the two answers that are compared."""
    first, second = question.candidates
    return f"Question: {question.text}\nA: {first}\nB: {second}"


def chain_of_thought(question: Question) -> Calls:
    """The model writes its steps before the answer."""
    (text,) = yield [f"{asked(question)}\nThink step by step. {THEN}"]
    return text


def rephrase(question: Question) -> Calls:
    """Rephrase and respond in one call."""
    (text,) = yield [f"{asked(question)}\nFirst state the question again with more detail. {THEN}"]
    return text


def rephrase_twice(question: Question) -> Calls:
    """Rephrase and respond in two calls: the second reads the question and its new wording."""
    (detailed,) = yield [
        f"{asked(question)}\nState this question again with more detail. Keep all information. Do "
        f"not answer it."
    ]
    (answer,) = yield [
        f"{asked(question)}\nThe question with more detail: {detailed}\nGive only the answer."
    ]
    return answer


def attention(question: Question) -> Calls:
    """System 2 attention: the answer depends only on what the model finds neutral."""
    (neutral,) = yield [
        f"{asked(question)}\nCopy only the facts and the question. Leave out opinions."
    ]
    (answer,) = yield [f"{neutral}\nGive only the answer."]
    return answer


def branch_solve_merge(question: Question) -> Calls:
    """Judges two candidates: lists criteria, scores both by each, and decides from the scores."""
    (listed,) = yield [
        f"Question: {question.text}\nList the criteria of a good answer, one per line."
    ]
    lines = [line.strip(" -*\t") for line in listed.splitlines()]
    # A line that ends with a colon introduces the list.
    criteria = [line for line in lines if line and not line.endswith(":")][:MAX_CRITERIA]
    criteria = criteria or ["quality"]
    scores = yield [
        f"{pair(question)}\nScore both answers from 1 to 5 by this criterion: {criterion}"
        for criterion in criteria
    ]
    judged = "\n".join(
        f"{criterion}: {' '.join(score.split())}"
        for criterion, score in zip(criteria, scores, strict=True)
    )
    (answer,) = yield [f"{judged}\nWhich answer is better by these scores: A, B or tie?"]
    return answer


PROGRAMS: dict[str, Program] = {
    "direct": direct,
    "chain_of_thought": chain_of_thought,
    "rephrase": rephrase,
    "rephrase_twice": rephrase_twice,
    "attention": attention,
    "branch_solve_merge": branch_solve_merge,
}
# These programs compare two candidates.
JUDGES = ("branch_solve_merge",)
