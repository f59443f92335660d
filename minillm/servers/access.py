"""The address and the key of a server with the API of OpenAI, which are in the environment."""

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from minillm.errors import InputError

ADDRESS, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
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
