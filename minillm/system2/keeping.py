"""Chooses the answers on which a model is trained, and counts what is left out."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from minillm.system2 import filters
from minillm.system2.extractors import Extractor, answer_start, is_right
from minillm.system2.filters import KEPT, Verdict
from minillm.system2.folder import Answers, by_question
from minillm.system2.programs import at_once
from minillm.system2.question import Question, swap
from minillm.system2.run import Trace


@dataclass(frozen=True)
class Kept:
    """One question with the answer that it keeps, as a row of training data.

    Attributes:
        question: the question.
        answer: the response that System 1 is trained to give.
        trace: the attempt of System 2 that gives this answer.
    """

    question: Question
    answer: str
    trace: Trace

    def row(self, read: Callable[[str], str]) -> dict[str, str]:
        """The row, with the prompt of a teacher that has already thought.

        The teacher is the same model behind its System 2 prompt: it reads the last prompt of the
        program, and its own response up to the answer.

        Args:
            read: renders a prompt in the template of the data.
        """
        last = self.trace.calls[-1]
        start = answer_start(last.response, self.answer)
        return {
            "id": self.question.id,
            "instruction": at_once(self.question),
            "output": self.answer,
            "teacher_prompt": read(last.prompt) + last.response[:start],
        }


def verdicts_of(
    answers: Answers, questions: Sequence[Question], traces: Mapping[str, Sequence[Trace]]
) -> dict[str, Verdict]:
    """The verdict of the filter on each question.

    Raises:
        InputError: answers that the filter needs, beside these traces, are missing.
    """
    own = answers.study.config

    def found(some: Sequence[Trace]) -> list[str | None]:
        return [own.find(trace.text) for trace in some]

    if own.filter == "none":
        return {x.id: filters.first(found(traces[x.id])) for x in questions}
    if own.filter == "universal":
        every = [trace for some in traces.values() for trace in some]
        choices = answers.choices(questions, every)
        return {
            x.id: filters.chosen_by_model(choices[x.id], found(traces[x.id])) for x in questions
        }
    verdicts = {x.id: filters.majority(found(traces[x.id]), own.least_share) for x in questions}
    if own.filter == "consistency":
        changed = [other for question in questions for other in question.changed()]
        others = by_question(answers.of(changed, own.program, "changed"))
        for question in questions:
            mapped = [
                filters.majority(
                    [original_answer(x, question, other) for x in found(others[other.id])],
                    own.least_share,
                )
                for other in question.changed()
            ]
            verdicts[question.id] = filters.consistent(verdicts[question.id], mapped)
    return verdicts


def original_answer(answer: str | None, question: Question, changed: Question) -> str | None:
    """The answer to a changed question, as an answer to the question itself."""
    if answer is None or question.candidates == changed.candidates:
        return answer
    return swap(answer)


def outcomes(verdicts: Mapping[str, Verdict]) -> dict[str, int]:
    """The number of questions for each outcome of a filter, the most frequent first."""
    return dict(Counter(verdict.outcome for verdict in verdicts.values()).most_common())


def share_right(
    questions: Sequence[Question], verdicts: Mapping[str, Verdict], extractor: Extractor
) -> float | None:
    """The share of kept answers that are right, among questions with a known answer."""
    known = [x for x in questions if x.answers and verdicts[x.id].is_kept]
    if not known:
        return None
    return sum(is_right(verdicts[x.id].answer, x.answers, extractor) for x in known) / len(known)


def sample_text(
    kept: Sequence[Kept],
    verdicts: Mapping[str, Verdict],
    questions: Sequence[Question],
    traces: Mapping[str, Sequence[Trace]],
    count: int = 5,
) -> str:
    """A text for reading: some kept answers, and some questions of each other outcome."""
    parts = ["# Kept answers"]
    parts += [f"{_shown(x.question, x.trace)}\nKept: {x.answer}" for x in kept[:count]]
    for outcome in sorted({verdict.outcome for verdict in verdicts.values()} - {KEPT}):
        parts.append(f"# {outcome[:1].upper()}{outcome[1:]}")
        some = [x for x in questions if verdicts[x.id].outcome == outcome][:count]
        parts += ["\n".join(_shown(x, trace) for trace in traces[x.id]) for x in some]
    return "\n\n".join(parts) + "\n"


def _shown(question: Question, trace: Trace) -> str:
    """All prompts and responses of a trace, and the accepted answers."""
    calls = [f"> {line}" if line else ">" for call in trace.calls
             for line in [*call.prompt.splitlines(), f"→ {call.response}"]]  # fmt: skip
    accepted = f" Accepted: {' or '.join(question.answers)}." if question.answers else ""
    return "\n".join([f"{question.id}, attempt {trace.sample + 1}.{accepted}", "", *calls])
