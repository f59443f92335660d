"""Conversations: lists of messages in the form of OpenAI and Hugging Face, or of ShareGPT.

    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]

Each message of the assistant is one response. Its prompt is the conversation before the message.
"""

from collections.abc import Sequence
from typing import Any

from minillm.data.records import Message
from minillm.errors import InputError

KEYS = (("role", "content"), ("from", "value"))
ROLES = {"system": "system", "user": "user", "assistant": "assistant",
         "human": "user", "gpt": "assistant"}  # fmt: skip


def is_conversation(value: Any) -> bool:
    """Whether a value looks like a list of messages."""
    return isinstance(value, list) and bool(value) and _keys_of(value[0]) is not None


def read_messages(value: Any, column: str) -> tuple[Message, ...]:
    """The messages in a column of a row.

    Raises:
        ValueError: the value is not a list of messages. The text says what is wrong.
    """
    if not isinstance(value, list) or not value:
        raise ValueError(
            f"{column!r} must be a list of at least one message, such as "
            f'{{"role": "user", "content": "Hi"}}'
        )
    return tuple(
        _message(item, f"message {number} of {column!r}") for number, item in enumerate(value, 1)
    )


def _message(item: Any, name: str) -> Message:
    keys = _keys_of(item)
    if keys is None:
        kind = "object" if isinstance(item, dict) else type(item).__name__
        raise ValueError(
            f"{name} is the {kind} {repr(item)[:80]}, but a message is an object with 'role' and "
            f"'content', or with 'from' and 'value'"
        )
    role, content = (item[key] for key in keys)
    if not isinstance(role, str) or role not in ROLES:
        raise ValueError(
            f"{name} has the role {role!r}. Allowed: {', '.join(ROLES)}. Calls of tools cannot be "
            f"read"
        )
    if not isinstance(content, str):
        raise ValueError(f"the content of {name} must be a text, not {type(content).__name__}")
    if not content.strip() and role != "system":
        raise ValueError(f"{name} (role {role!r}) is empty")
    return Message(ROLES[role], content)


def _keys_of(item: Any) -> tuple[str, str] | None:
    """The keys of role and content in a message; None if the item is not a message."""
    if not isinstance(item, dict):
        return None
    return next((keys for keys in KEYS if item.keys() >= {*keys}), None)


def responses_of(messages: Sequence[Message]) -> list[tuple[tuple[Message, ...], str]]:
    """Each message of the assistant after a message of the user, and the conversation before it."""
    first_user = next((i for i, each in enumerate(messages) if each.role == "user"), len(messages))
    return [
        (tuple(messages[:i]), message.content)
        for i, message in enumerate(messages)
        if message.role == "assistant" and i > first_user
    ]


def single_turn(messages: Sequence[Message], template: str) -> str:
    """The system message (if there is one) and the only message of the user, as one text.

    Raises:
        InputError: the conversation has more messages, which `template` cannot render.
    """
    roles = [message.role for message in messages]
    if roles not in (["user"], ["system", "user"]):
        raise InputError(
            f"the prompt is a conversation of {len(messages)} messages ({', '.join(roles)}), but "
            f"the template {template} renders one message of the user, with or without a system "
            f"message before it. Set data.template=chat, which needs a tokenizer with a chat "
            f"template."
        )
    return "\n\n".join(message.content for message in messages if message.content.strip())
