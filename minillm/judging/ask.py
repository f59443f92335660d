"""Asks all questions: several at once, each only once, and again after an answer without scores."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minillm.config import JudgeConfig
from minillm.errors import InputError, ServerError
from minillm.judging.questions import Question, Scores, read_scores
from minillm.progress import Progress, shown
from minillm.servers.access import Access
from minillm.servers.cache import Answer, Cache, key_of
from minillm.servers.limits import Usage, check_limits, estimate, used
from minillm.servers.server import Refused, Server, request_of

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between two looks at the cache while another process asks the same question


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
        settings, access: how and where to ask.
        cache: all answers.
        verdicts: the verdicts on the questions that need no further request.
        usage: of all requests that this command has sent. Those without an answer have estimates,
            because the server may charge for them.
    """

    settings: JudgeConfig
    access: Access
    cache: Cache
    verdicts: dict[Question, Verdict] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)

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
        return request_of(text, settings, self.access, settings.temperature, seed)

    def _key(self, request: Mapping[str, Any], attempt: int) -> str:
        return key_of(request, attempt, self.access.address)

    def _known(self, question: Question) -> Verdict | None:
        """The verdict from the cache alone; None if another request is needed."""
        answers: list[Answer] = []
        for attempt in range(self.settings.repeats + 1):
            answer = self.cache.answers.get(self._key(self.request(question, attempt), attempt))
            if answer is None:
                return None
            answers.append(answer)
            scores = read_scores(answer.answer)
            if scores:
                return Verdict(scores, tuple(answers))
        return Verdict(None, tuple(answers))

    def ask(self, questions: Sequence[Question]) -> None:
        """Ask questions until each has its verdict.

        Each answer is in the cache as soon as it is received, so that Ctrl-C loses none of them.

        Raises:
            InputError: the server refuses the key, the model or the first question, or a limit is
                reached.
            ServerError: the server does not answer.
        """
        asyncio.run(self._ask(questions))

    async def _ask(self, questions: Sequence[Question]) -> None:
        server = Server.open(self.access, self.settings)
        progress = Progress("judge", len(questions), "questions")
        failures: list[Exception] = []
        waiting = iter(questions)
        try:
            with shown(progress):
                # The first question alone finds a wrong key, model or parameter by one request.
                is_first_ever = not self.verdicts
                await self._work(server, [next(waiting)], progress, failures)
                if is_first_ever and not failures:
                    self._check_first(questions[0])
                if not failures:
                    workers = range(self.settings.concurrency)
                    await asyncio.gather(
                        *(self._work(server, waiting, progress, failures) for _ in workers)
                    )
        finally:
            await server.client.close()
        if failures:
            raise failures[0]

    def _check_first(self, question: Question) -> None:
        """Refuse a judge that refuses the first of all questions."""
        refusal = self.verdicts[question].refusal
        if refusal:
            raise InputError(
                f"{refusal}. Correct judge.model or the parameters of the request, such as "
                f"judge.temperature=null, judge.seed=null or judge.max_tokens."
            )

    async def _work(
        self,
        server: Server,
        waiting: Iterable[Question],
        progress: Progress,
        failures: list[Exception],
    ) -> None:
        """Ask the questions that no other worker has taken, until a worker fails.

        The other workers finish their question, because its answer is paid for.
        """
        for question in waiting:
            if failures:
                return
            try:
                self.verdicts[question] = await self._verdict(server, question)
            except (InputError, ServerError) as error:
                failures.append(error)
                return
            progress.advance()

    async def _verdict(self, server: Server, question: Question) -> Verdict:
        answers: list[Answer] = []
        for attempt in range(self.settings.repeats + 1):
            try:
                answers.append(await self._answer(server, question, attempt))
            except Refused as refusal:
                return Verdict(None, tuple(answers), str(refusal))
            scores = read_scores(answers[-1].answer)
            if scores:
                return Verdict(scores, tuple(answers))
        return Verdict(None, tuple(answers))

    async def _answer(self, server: Server, question: Question, attempt: int) -> Answer:
        """The answer in the cache, of another process, or of the server."""
        request = self.request(question, attempt)
        key = self._key(request, attempt)
        while key not in self.cache.answers:
            if not self.cache.claim(key):
                await asyncio.sleep(POLL)
                self.cache.refresh()
                continue
            try:
                self.cache.refresh()  # another process may just have asked
                if key not in self.cache.answers:
                    self.cache.add(await self._paid(server, request, key))
            finally:
                self.cache.release(key)
        return self.cache.answers[key]

    async def _paid(self, server: Server, request: Mapping[str, Any], key: str) -> Answer:
        """The answer of the server, within the limits."""
        expected = estimate([request], self.settings)

        def failed(may_be_charged: bool) -> None:
            self.usage.add(expected if may_be_charged else Usage(1))

        self.usage.add(expected)  # stays if Ctrl-C interrupts the request
        try:
            check_limits(
                self.usage, self.settings, "with the questions that were asked again, about"
            )
            answer = await server.answer(request, key, failed)
        except (Refused, InputError, ServerError):
            self.usage.add(expected, -1)  # `failed` has counted what was sent
            raise
        self.usage.add(expected, -1)
        self.usage.add(used(answer, expected))
        return answer
