"""Token ids of prompts and of given responses.

`data.tokenize=separate`: the tokenizer reads a response alone. `data.tokenize=joint`: it reads a
prompt and a response as one text, as in the official code (tools/process_data_dolly.py). The two
differ for tokenizers such as SentencePiece, which put a space before a text that they read alone,
and where one token has the end of the prompt and the start of the response.
"""

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from minillm.config import DataConfig
from minillm.data.templates import response_form


class ResponseTokens(NamedTuple):
    """Token ids of a response, and whether its prompt has other tokens in the whole text."""

    ids: list[int]
    crosses_border: bool = False


def encode_prompts(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, config: DataConfig, template: str
) -> list[list[int]]:
    """Token ids of prompts that `template` has made."""
    # A chat template writes its own special tokens; for other templates the tokenizer adds them.
    adds_special_tokens = config.special_tokens and template != "chat"
    return tokenizer(list(texts), add_special_tokens=adds_special_tokens)["input_ids"]


def encode_responses(
    pairs: Sequence[tuple[str, str]], tokenizer: PreTrainedTokenizerBase, config: DataConfig
) -> list[ResponseTokens]:
    """Token ids of responses, with the token that ends a response. They are not cut.

    If they are tokenised jointly, a response has the tokens of the whole text without as many
    tokens as the prompt alone has. If a token crosses the border, the prompt alone has other tokens
    than the whole text. The official code ignores this, and so does this function: the response
    then lacks some text, or repeats some text of the prompt. A response has at least its last
    token.

    Args:
        pairs: the texts of a prompt and of a response.
        tokenizer: the student's.
        config: the template of the prompts, and `tokenize`.
    """
    form = response_form(tokenizer, config.template)
    if config.tokenize == "separate":
        texts = [form.before + response for _, response in pairs]
        return [ResponseTokens([*ids, form.end_id]) for ids in _ids(texts, tokenizer)]
    prompts = [prompt for prompt, _ in pairs]
    wholes = [prompt + form.before + response for prompt, response in pairs]
    return [
        ResponseTokens(
            [*whole[len(prompt) :], form.end_id],
            crosses_border=whole[: len(prompt)] != prompt,
        )
        for prompt, whole in zip(_ids(prompts, tokenizer), _ids(wholes, tokenizer), strict=True)
    ]


def response_limit(config: DataConfig, *prompts: Sequence[int] | None) -> int:
    """The number of tokens that a given response may have after these prompts.

    Args:
        config: the limits.
        prompts: token ids of the prompts of all models that read the response; None is no prompt.
    """
    if config.max_length is None:
        return config.max_response_length
    return config.max_length - max(len(prompt or ()) for prompt in prompts)


def _ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    return tokenizer(list(texts), add_special_tokens=False)["input_ids"]
