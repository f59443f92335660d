"""Conversations, and a tokenizer whose chat template ends a turn with a token that is not EOS."""

from transformers import PreTrainedTokenizerFast

from minillm.data.tokenizers import train_tokenizer

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Name a colour"},
    {"role": "assistant", "content": "red"},
    {"role": "user", "content": "Thanks"},
]
SHORT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hey!"}]
END_OF_TURN = "<end_of_turn>"
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def sharegpt(messages: list[dict]) -> list[dict]:
    """The messages with the keys and roles of ShareGPT."""
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return [{"from": names[each["role"]], "value": each["content"]} for each in messages]


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """A trained tokenizer with the template above; its EOS is another token."""
    tokenizer = train_tokenizer(["some text"], 300)
    tokenizer.add_special_tokens({"additional_special_tokens": [END_OF_TURN]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer
