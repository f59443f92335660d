"""Asks all questions of a judge, and again after an answer without scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from minillm.config import JudgeConfig
from minillm.errors import InputError
from minillm.judging.questions import Question, Scores, read_scores
from minillm.progress import Progress
from minillm.servers.cache import Answer
from minillm.servers.client import Client
from minillm.servers.limits import Usage, estimate
from minillm.servers.server import Refused, Server, request_of


@dataclass(frozen=True)
class Verdict:
    """What the judge has said to one question.

    Attributes:
        scores: of the first and the second answer; None if no answer had the form.
        answers: all answers to the question. All but the last are malformed.
        refusal: why the server has refused the question, or None.
    """

    scores: Scores | None
    answers: tuple[Answer, ...]
    refusal: str | None = None

    @property
    def malformed(self) -> int:
        """The number of malformed answers."""
        return len(self.answers) - (self.scores is not None)


@dataclass
class Asking:
    """The questions of one command.

    Attributes:
        settings: how to ask.
        client: the server, and all answers of servers.
        verdicts: the verdicts on the questions that need no further request.
    """

    settings: JudgeConfig
    client: Client
    verdicts: dict[Question, Verdict] = field(default_factory=dict)

    def open_questions(self, questions: Iterable[Question]) -> list[Question]:
        """The distinct questions that the cache does not answer. The others get their verdict."""
        distinct = list(dict.fromkeys(questions))
        for question in distinct:
            verdict = self._known(question)
            if verdict:
                self.verdicts[question] = verdict
        return [question for question in distinct if question not in self.verdicts]

    def estimate(self, questions: Sequence[Question]) -> Usage:
        """About what the first requests of these questions use."""
        return estimate((self.request(question, 0) for question in questions), self.settings)

    def request(self, question: Question, attempt: int) -> dict[str, Any]:
        """The body of a request.

        Each attempt has another seed, so that a question that is asked again may get another
        answer.
        """
        settings = self.settings
        seed = None if settings.seed is None else settings.seed + attempt
        text = question.text(attempt)
        return request_of(text, settings, self.client.access, settings.temperature, seed)

    def _known(self, question: Question) -> Verdict | None:
        """The verdict from the cache alone; None if another request is needed."""
        answers: list[Answer] = []
        for attempt in range(self.settings.repeats + 1):
            answer = self.client.known(self.request(question, attempt), attempt)
            if answer is None:
                return None
            answers.append(answer)
            scores = read_scores(answer.answer)
            if scores:
                return Verdict(scores, tuple(answers))
        return Verdict(None, tuple(answers))

    def ask(self, questions: Sequence[Question]) -> None:
        """Ask questions until each has its verdict.

        Raises:
            InputError: the server refuses the key, the model or the first question, or a limit is
                reached.
            ServerError: the server does not answer.
            Stopped: Ctrl-C was pressed.
        """
        is_first_ever = not self.verdicts

        async def ask(server: Server, question: Question) -> None:
            self.verdicts[question] = await self._verdict(server, question)

        def check_first() -> None:
            if is_first_ever:
                self._check_first(questions[0])

        progress = Progress("judge", len(questions), "questions")
        self.client.each(questions, ask, progress, check_first)

    def _check_first(self, question: Question) -> None:
        """Refuse a judge that refuses the first of all questions."""
        refusal = self.verdicts[question].refusal
        if refusal:
            raise InputError(
                f"{refusal}. Correct judge.model or the parameters of the request, such as "
                f"judge.temperature=null, judge.seed=null or judge.max_tokens."
            )

    async def _verdict(self, server: Server, question: Question) -> Verdict:
        answers: list[Answer] = []
        for attempt in range(self.settings.repeats + 1):
            try:
                request = self.request(question, attempt)
                answers.append(await self.client.answer(server, request, attempt))
            except Refused as refusal:
                return Verdict(None, tuple(answers), str(refusal))
            scores = read_scores(answers[-1].answer)
            if scores:
                return Verdict(scores, tuple(answers))
        return Verdict(None, tuple(answers))
