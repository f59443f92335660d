"""Reads the settings of `minillm judge`, and the address and the key of the server."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from minillm.config import JudgeConfig
from minillm.errors import InputError
from minillm.settings.section import read_section

PREFIX = "judge."
MODEL, ADDRESS, KEY = "MINILLM_JUDGE_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY"
# The address that the client uses by default. It needs a key.
OPENAI = "https://api.openai.com/v1"
# Servers without keys ignore the key, but the client always sends one.
NO_KEY = "none"
# A shorter key is a word for a server without keys. Replacing it would change answers.
SHORTEST_SECRET = 8


@dataclass(frozen=True)
class Access:
    """The address of the server, and its key, which `repr` does not show."""

    address: str
    key: str = field(repr=False)

    def without_key(self, text: str) -> str:
        """The text of the server with `***` in place of the key."""
        return text.replace(self.key, "***") if len(self.key) >= SHORTEST_SECRET else text


def judge_settings(words: Sequence[str]) -> JudgeConfig:
    """The settings of the command line, without the environment.

    Raises:
        InputError: a value is not allowed, or settings contradict each other.
    """
    settings = read_section(JudgeConfig, words, "docs/judge.md", PREFIX)
    if (settings.price_input is None) != (settings.price_output is None):
        raise InputError(
            "judge.price_input and judge.price_output are used only together. Give both, or none."
        )
    if settings.max_cost is not None and settings.price_input is None:
        raise InputError(
            f"judge.max_cost={settings.max_cost:g} needs prices. Add judge.price_input=NUMBER and "
            f"judge.price_output=NUMBER, the prices of one million tokens."
        )
    return settings


def with_model(settings: JudgeConfig) -> JudgeConfig:
    """The settings with the model of the environment, if the command line names none.

    Raises:
        InputError: neither names a model.
    """
    model = settings.model or os.environ.get(MODEL, "").strip()
    if not model:
        raise InputError(
            f"no model is given as the judge. Add judge.model=NAME, or set the environment "
            f"variable {MODEL}. NAME is a model of the server, such as gpt-4o."
        )
    return replace(settings, model=model)


def read_access() -> Access:
    """Address and key of the environment.

    Raises:
        InputError: a variable is missing or cannot be used. The message never has the key.
    """
    address = os.environ.get(ADDRESS, "").strip()
    key = os.environ.get(KEY, "").strip()
    if not key and not address:
        raise InputError(
            f"no server is given. Set the environment variable {ADDRESS}, such as "
            f"http://localhost:8000/v1, or {KEY} for {OPENAI}."
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise InputError(
            f"the key in {KEY} has spaces, line breaks or letters that a key cannot have. Set the "
            f"variable again."
        )
    return Access(_checked(address or OPENAI), key or NO_KEY)


def _checked(address: str) -> str:
    """The address without a slash at its end."""
    parts = urlsplit(address)
    if parts.username or parts.password or parts.query:
        # Neither part may appear in a message or a result, so the address is not shown.
        raise InputError(
            f"the address in {ADDRESS} has a user name, a password or a query (`?`). Give the "
            f"address alone, such as https://HOST/v1, and the key in {KEY}."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"{ADDRESS}={address} is not an address. Give one such as http://localhost:8000/v1."
        )
    return address.rstrip("/")
