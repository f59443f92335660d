"""A language model behind a server with the API of OpenAI as a speaker."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minillm.errors import InputError
from minillm.progress import Progress
from minillm.servers.access import read_access
from minillm.servers.cache import Answer, Cache
from minillm.servers.client import Client
from minillm.servers.limits import greatest_length
from minillm.servers.server import Refused, Server, import_openai, request_of
from minillm.system2.local import number_of
from minillm.system2.run import Call
from minillm.system2.settings import System2Config

log = logging.getLogger(__name__)

SEEDS = 2**31  # number of seeds, each of which every server can read


@contextmanager
def open_server(
    config: System2Config, tokenizer: Any, temperature: float
) -> Iterator["ServerSpeaker"]:
    """The speaker of `system2.server`. At the end, the log says what it has used.

    Args:
        config: the settings of System 2.
        tokenizer: counts tokens in place of a server that does not count them.
        temperature: of all answers.

    Raises:
        InputError: the package openai, the address or the key is missing, or the cache cannot be
            written.
    """
    import_openai()
    access = read_access()
    cache = Cache(Path(config.server.cache), config.server.section)
    client = Client(config.server, access, cache)
    speaker = ServerSpeaker(client, temperature, config.seed, tokenizer)
    try:
        log.info("%s at %s answers", config.server.model, access.address)
        yield speaker
    finally:
        cache.close()
        speaker.log_usage()


@dataclass(frozen=True)
class Request:
    """One call as a request.

    Attributes:
        prompt: the text.
        sample: tells apart equal prompts, of which each has an answer of its own.
        body: what is sent.
    """

    prompt: str
    sample: str
    body: dict[str, Any] = field(hash=False)


@dataclass
class ServerSpeaker:
    """Answers calls with a model behind a server.

    Attributes:
        client: the server, and all answers of servers.
        temperature: of all answers.
        seed: each call has a seed that depends on this number and on the key of the call.
        tokenizer: counts the tokens of an answer that the server has not counted.
        answered: number of calls with an answer, of the server or in the cache.
        cached: those whose answer was in the cache before their round.
        refused: calls that the server has refused, for example because the prompt is too long.
            Their response is empty.
        cut_off: answers of the greatest length.
        uncounted: answers whose tokens `tokenizer` has counted.
        models: the names that the server gives to the model.
    """

    client: Client
    temperature: float
    seed: int
    tokenizer: Any
    answered: int = field(default=0, init=False)
    cached: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    cut_off: int = field(default=0, init=False)
    uncounted: int = field(default=0, init=False)
    models: set[str] = field(default_factory=set, init=False)

    def respond(self, prompts: Sequence[str], keys: Sequence[str]) -> list[Call]:
        """One call per prompt. Equal prompts and keys get equal responses, which the cache has.

        Raises:
            InputError: the calls exceed a limit, or the server refuses the key, the model or the
                first request.
            ServerError: the server does not answer.
            Stopped: Ctrl-C was pressed.
        """
        asked = [self._request(*pair) for pair in zip(prompts, keys, strict=True)]
        calls: dict[int, Call] = {}
        for i, request in enumerate(asked):
            answer = self.client.known(request.body, request.sample)
            if answer:
                calls[i] = self._call(request, answer)
                self.cached += 1
        missing = [i for i in range(len(asked)) if i not in calls]
        if missing:
            # If the server refuses the shortest prompt, the length is not the reason.
            missing.sort(key=lambda i: len(prompts[i]))
            found = self._ask([asked[i] for i in missing])
            calls |= dict(zip(missing, found, strict=True))
        return [calls[i] for i in range(len(asked))]

    def _ask(self, asked: Sequence[Request]) -> list[Call]:
        """The calls that the cache does not answer, in the same order."""
        self.client.check_limits(
            (request.body for request in asked),
            "with the calls that are ready, the command needs about",
        )
        calls: dict[Request, Call] = {}
        refusals: list[str] = []

        async def ask(server: Server, request: Request) -> None:
            try:
                answer = await self.client.answer(server, request.body, request.sample)
                calls[request] = self._call(request, answer)
            except Refused as refusal:
                calls[request] = Call(request.prompt, "", 0)
                refusals.append(str(refusal))

        def check_first() -> None:
            if not self.answered:
                raise InputError(
                    f"{refusals[0]}. Correct system2.server.model or the parameters of the "
                    f"request, such as system2.server.max_tokens or system2.server.body."
                )

        self.client.each(asked, ask, Progress("calls", len(asked), "calls"), check_first)
        self.refused += len(refusals)
        if refusals:
            log.warning("%d of %d calls are refused, and their response is empty, for example: %s",
                        len(refusals), len(asked), refusals[0])  # fmt: skip
        return [calls[request] for request in asked]

    def _request(self, prompt: str, key: str) -> Request:
        sample = f"{self.seed}#{key}"
        seed = number_of(sample) % SEEDS
        client = self.client
        body = request_of(prompt, client.settings, client.access, self.temperature, seed)
        return Request(prompt, sample, body)

    def _call(self, request: Request, answer: Answer) -> Call:
        tokens = answer.output_tokens
        if tokens is None:
            # As in a local model, the token that ends the response counts.
            tokens = len(self.tokenizer.encode(answer.answer, add_special_tokens=False)) + 1
            self.uncounted += 1
        self.answered += 1
        self.cut_off += tokens >= greatest_length(request.body, self.client.settings)
        self.models |= {answer.model} - {""}
        return Call(request.prompt, answer.answer, tokens)

    def record(self) -> dict[str, Any]:
        """Where the answers come from, for a file of scores."""
        return {
            "address": self.client.access.address,
            "answered_by": sorted(self.models),
            "requests": self.client.usage.calls,
            "answers": self.answered,
            "answers_of_the_cache": self.cached,
            "refused_calls": self.refused,
            "cut_off_answers": self.cut_off,
            "answers_counted_by_the_tokenizer_of_the_model": self.uncounted,
        }

    def log_usage(self) -> None:
        """Write what the command has used, and what is wrong with answers, to the log."""
        log.info("used: about %s; %d answers were in the cache",
                 self.client.usage.text(self.client.settings), self.cached)  # fmt: skip
        if self.cut_off:
            log.warning("%d of %d answers have the greatest length, and may be cut off. Raise "
                        "system2.server.max_tokens.", self.cut_off, self.answered)  # fmt: skip
        if self.uncounted:
            log.warning("The server has not counted the tokens of %d of %d answers. They are "
                        "counted with the tokenizer of MODEL.",
                        self.uncounted, self.answered)  # fmt: skip
