"""One request to a server with the API of OpenAI, sent again after failures of the server.

The client's own repetitions are not used: its timeout is for the next byte and not for the whole
answer, and it does not repeat a request whose answer is not json.
"""

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from minillm.config import ServerConfig
from minillm.errors import InputError, ServerError, first_line
from minillm.servers.access import OPENAI, Access
from minillm.servers.cache import Answer

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between two requests
SHOWN = 200  # characters of a server's message in ours
REFUSED = (400, 413, 422)  # statuses with which a server refuses one question


class Refused(Exception):
    """The server refuses one question, for example because it is too long."""


class BadReply(Exception):
    """The body of a reply is not the answer of a chat."""


def import_openai() -> Any:
    """The package openai, which is imported here because only questions to servers need it.

    Raises:
        InputError: it is not installed.
    """
    try:
        import openai
    except ImportError as error:
        raise InputError(
            f"a server is asked with the package openai, which cannot be imported: "
            f"{first_line(error)}. Install it: pip install -e '.[judge]'."
        ) from error
    return openai


def request_of(
    text: str,
    settings: ServerConfig,
    access: Access,
    temperature: float | None,
    seed: int | None,
) -> dict[str, Any]:
    """The body of a request. Parameters that are None are not sent, and `body` has priority."""
    # OpenAI's newer models refuse `max_tokens`. Other servers may not know the newer name.
    length = "max_completion_tokens" if access.address == OPENAI else "max_tokens"
    parameters = {
        "temperature": temperature,
        "seed": seed,
        length: settings.max_tokens,
    }
    return {
        "model": settings.model,
        "messages": [{"role": "user", "content": text}],
        **{name: value for name, value in parameters.items() if value is not None},
        **settings.body,
    }


@dataclass(frozen=True)
class Server:
    """A server with the API of OpenAI.

    Attributes:
        client: an `openai.AsyncOpenAI`.
        access: address and key.
        settings: the model, the number of retries, and the seconds after which a request has
            failed.
    """

    client: Any
    access: Access
    settings: ServerConfig

    @staticmethod
    def open(access: Access, settings: ServerConfig) -> "Server":
        """A server that nothing was sent to yet. `client.close()` ends the connections."""
        client = import_openai().AsyncOpenAI(
            base_url=access.address, api_key=access.key, max_retries=0, timeout=settings.timeout
        )
        return Server(client, access, settings)

    async def answer(
        self, request: Mapping[str, Any], key: str, failed: Callable[[bool], None]
    ) -> Answer:
        """The answer to a request, for the cache under `key`.

        `failed` is called after each failure, with whether the server may charge for the request,
        because it may have written an answer that has not arrived.

        Raises:
            Refused: the server refuses this question.
            InputError: the server refuses the key, the model, or all requests of this kind.
            ServerError: the last request failed too.
        """
        openai = import_openai()
        failures = (openai.APIConnectionError, openai.APIStatusError, TimeoutError, BadReply)
        send = self.client.chat.completions.with_raw_response.create
        for attempt in range(self.settings.retries + 1):
            try:
                # The client's timeout restarts with each byte.
                async with asyncio.timeout(self.settings.timeout):
                    reply = await send(
                        model=request["model"], messages=request["messages"], extra_body=request
                    )
                return read_reply(reply.http_response.text, key, self.access)
            except failures as error:
                failure = self._described(error)
                status = getattr(error, "status_code", None)
                failed(status is None)
                self._check_may_repeat(status, failure)
                wait = seconds_to_wait(error, attempt)
            if attempt < self.settings.retries:
                log.info("%s. The request is sent again in %.1f s.", failure, wait)
                await asyncio.sleep(wait)
        raise ServerError(f"{failure}, in {self.settings.retries + 1} requests")

    def _check_may_repeat(self, status: int | None, failure: str) -> None:
        """Refuse a failure that the same request would have again."""
        if status in REFUSED:
            raise Refused(failure)
        if status is not None and status < 500 and status not in (408, 409, 429):
            raise InputError(
                f"{failure}. Correct the address, the key or {self.settings.section}.model."
            )

    def _described(self, error: Exception) -> str:
        """What happened, in one line without the key."""
        status = getattr(error, "status_code", None)
        if status is not None:
            text = f"status {status}: {self._message(error)}"
        elif isinstance(error, BadReply):
            text = f"the reply is not the answer of a chat: {error}"
        elif isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
            text = (
                f"no answer within {self.settings.section}.timeout={self.settings.timeout:g} "
                f"seconds"
            )
        else:
            text = f"no connection ({first_line(error.__cause__ or error)})"
        return f"{self.access.address}: {_one_line(self.access.without_key(text))}"

    @staticmethod
    def _message(error: Any) -> str:
        """The server's message: in OpenAI's form, or the whole body."""
        body = error.body
        if isinstance(body, Mapping):
            body = body.get("message") or body.get("detail") or body
        return str(body or error.message)


def read_reply(text: str, key: str, access: Access) -> Answer:
    """The answer in the body of a reply, which may repeat the key of the server.

    Args:
        text: the body.
        key: the key of the answer in the cache.
        access: the key of the server, which is left out.

    Raises:
        BadReply: the body has another form.
    """
    try:
        reply = json.loads(text)
        message = reply["choices"][0]["message"]
        usage = reply.get("usage") or {}
        return Answer(
            key=key,
            answer=access.without_key(str(message.get("content") or "")),
            input_tokens=_count(usage.get("prompt_tokens")),
            output_tokens=_count(usage.get("completion_tokens")),
            model=access.without_key(str(reply.get("model") or "")),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadReply(text) from error


def seconds_to_wait(error: Exception, attempt: int) -> float:
    """How long the server wants us to wait; by default, twice as long after each request.

    The random part keeps requests that failed together from being sent again together.
    """
    response = getattr(error, "response", None)
    try:
        asked = float(response.headers["retry-after"])
    except (AttributeError, KeyError, ValueError):
        asked = 0.0
    backoff = FIRST_WAIT * 2**attempt * random.uniform(0.75, 1.25)
    return min(max(asked, backoff), LONGEST_WAIT)


def _count(value: Any) -> int | None:
    """A number of tokens; None for a value that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
