"""What questions cost: an estimate before the first request, and the limits of a command."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from minillm.config import ServerConfig
from minillm.errors import InputError
from minillm.servers.cache import Answer

# The tokenizer of the server is not known. English has about four bytes per token.
BYTES_PER_TOKEN = 4
PRICED_TOKENS = 1e6
# The greatest number of tokens of an answer, as servers name it in a request.
LENGTHS = ("max_tokens", "max_completion_tokens")


@dataclass
class Usage:
    """Requests that were sent, and their tokens.

    The tokens are estimates if a server does not count them, or has not answered.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, other: "Usage", times: int = 1) -> None:
        """Add `times` the numbers of another usage."""
        self.calls += times * other.calls
        self.input_tokens += times * other.input_tokens
        self.output_tokens += times * other.output_tokens

    def cost(self, settings: ServerConfig) -> float | None:
        """The cost at the prices of the settings; None without prices."""
        if settings.price_input is None or settings.price_output is None:
            return None
        return (
            self.input_tokens * settings.price_input + self.output_tokens * settings.price_output
        ) / PRICED_TOKENS

    def text(self, settings: ServerConfig) -> str:
        """Calls, tokens and, with prices, the cost, in words."""
        cost = self.cost(settings)
        text = (
            f"{self.calls:,} calls, {self.input_tokens:,} tokens of questions and "
            f"{self.output_tokens:,} tokens of answers"
        )
        return text if cost is None else f"{text}, cost {cost:,.4g}"


def estimate(requests: Iterable[Mapping[str, Any]], settings: ServerConfig) -> Usage:
    """About what requests with these bodies use, if each answer has the greatest length."""
    usage = Usage()
    for request in requests:
        tokens = -(-len(request["messages"][0]["content"].encode()) // BYTES_PER_TOKEN)
        usage.add(Usage(1, tokens, greatest_length(request, settings)))
    return usage


def greatest_length(request: Mapping[str, Any], settings: ServerConfig) -> int:
    """The greatest number of tokens of an answer, as the request names it."""
    lengths = [request[name] for name in LENGTHS if isinstance(request.get(name), int)]
    return max(lengths, default=settings.max_tokens)


def used(answer: Answer, expected: Usage) -> Usage:
    """The usage of an answered request; the expected tokens if the server does not count."""
    return Usage(
        1,
        expected.input_tokens if answer.input_tokens is None else answer.input_tokens,
        expected.output_tokens if answer.output_tokens is None else answer.output_tokens,
    )


def check_limits(usage: Usage, settings: ServerConfig, what: str) -> None:
    """Refuse a usage above the limits.

    Args:
        usage: the usage of the whole command.
        settings: limits and prices.
        what: the usage in words, for the message, such as `all questions need`.

    Raises:
        InputError: the message says which limit to raise.
    """
    cost = usage.cost(settings)
    limits = {"max_calls": (settings.max_calls, usage.calls), "max_cost": (settings.max_cost, cost)}
    for name, (limit, value) in limits.items():
        if limit is not None and value is not None and value > limit:
            setting = f"{settings.section}.{name}"
            raise InputError(
                f"{what} {usage.text(settings)}, but {setting}={limit:g}. Raise {setting}, or ask "
                f"less with {settings.asks_less}."
            )


def check_prices(settings: ServerConfig) -> None:
    """Refuse a limit of the cost without prices, and one price alone.

    Raises:
        InputError: the message says which settings to give.
    """
    section = settings.section
    if (settings.price_input is None) != (settings.price_output is None):
        raise InputError(
            f"{section}.price_input and {section}.price_output are used only together. Give both, "
            f"or none."
        )
    if settings.max_cost is not None and settings.price_input is None:
        raise InputError(
            f"{section}.max_cost={settings.max_cost:g} needs prices. Add "
            f"{section}.price_input=NUMBER and {section}.price_output=NUMBER, the prices of one "
            f"million tokens."
        )
