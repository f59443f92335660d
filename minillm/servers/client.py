"""Asks a server: several questions at once, each only once, and within limits."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from minillm.config import ServerConfig
from minillm.errors import InputError, ServerError, Stopped
from minillm.progress import Progress, shown
from minillm.servers.access import Access
from minillm.servers.cache import Answer, Cache, key_of
from minillm.servers.limits import Usage, check_limits, estimate, used
from minillm.servers.server import Refused, Server

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between two looks at the cache while another process asks the same question

Question = TypeVar("Question")


@dataclass
class Client:
    """The requests of one command.

    Attributes:
        settings, access: how and where to ask.
        cache: all answers.
        usage: of all requests that this command has sent. Those without an answer have estimates,
            because the server may charge for them.
    """

    settings: ServerConfig
    access: Access
    cache: Cache
    usage: Usage = field(default_factory=Usage)

    def known(self, request: Mapping[str, Any], sample: int | str) -> Answer | None:
        """The answer in the cache; None if the request must be sent.

        Args:
            request: the body.
            sample: tells apart equal requests, of which each has an answer of its own.
        """
        return self.cache.answers.get(self._key(request, sample))

    def _key(self, request: Mapping[str, Any], sample: int | str) -> str:
        return key_of(request, sample, self.access.address)

    def check_limits(self, requests: Iterable[Mapping[str, Any]], what: str) -> None:
        """Refuse requests with which the command would exceed a limit.

        Args:
            requests: their bodies.
            what: the start of the message.

        Raises:
            InputError: the message says which limit to raise.
        """
        usage = estimate(requests, self.settings)
        usage.add(self.usage)
        check_limits(usage, self.settings, what)

    def each(
        self,
        questions: Sequence[Question],
        ask: Callable[[Server, Question], Awaitable[None]],
        progress: Progress,
        after_first: Callable[[], None] = lambda: None,
    ) -> None:
        """Call `ask` for all questions, `settings.concurrency` at once and the first alone.

        Each answer is in the cache as soon as it is received, so that Ctrl-C loses none of them.

        Args:
            questions: at least one.
            ask: calls `answer`, and stores what it has received.
            progress: counts the questions.
            after_first: called when the first question is finished. It may raise an InputError.

        Raises:
            InputError: the server refuses the key or the model, or a limit is reached.
            ServerError: the server does not answer.
            Stopped: Ctrl-C was pressed.
        """
        try:
            asyncio.run(self._each(questions, ask, progress, after_first))
        except KeyboardInterrupt:
            raise Stopped(f"interrupted. {self._kept()}", signal.SIGINT) from None
        except (InputError, ServerError) as error:
            raise type(error)(f"{str(error).rstrip('.')}. {self._kept()}") from error

    def _kept(self) -> str:
        count = len(self.cache.answers)
        return f"{self.settings.cache} has {count} answers, and the same command continues."

    async def _each(self, questions, ask, progress, after_first) -> None:
        server = Server.open(self.access, self.settings)
        failures: list[Exception] = []
        waiting = iter(questions)

        async def work(some: Iterable[Question]) -> None:
            """Ask the questions that no other worker has taken, until a worker fails.

            The other workers finish their question, because its answer is paid for.
            """
            for question in some:
                if failures:
                    return
                try:
                    await ask(server, question)
                except (InputError, ServerError) as error:
                    failures.append(error)
                    return
                progress.advance()

        try:
            with shown(progress):
                # The first question alone finds a wrong key, model or parameter by one request.
                await work([next(waiting)])
                if not failures:
                    after_first()
                    workers = range(self.settings.concurrency)
                    await asyncio.gather(*(work(waiting) for _ in workers))
        finally:
            await server.client.close()
        if failures:
            raise failures[0]

    async def answer(self, server: Server, request: Mapping[str, Any], sample: int | str) -> Answer:
        """The answer in the cache, of another process, or of the server.

        Raises:
            Refused: the server refuses this question.
            InputError, ServerError: see `each`.
        """
        key = self._key(request, sample)
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
