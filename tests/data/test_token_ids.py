"""Prompt and response tokenised alone, or together as in the official code."""

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from minillm.config import DataConfig
from minillm.data.encoding import encode
from minillm.data.records import Record
from minillm.data.tokenizers import load_tokenizer
from tests.data.conversations import END_OF_TURN, chat_tokenizer

SHARED = Path(__file__).parents[3] / "shared"
GPT2, DOLLY = SHARED / "tokenizers" / "gpt2", SHARED / "data" / "instruction-eval" / "dolly.jsonl"
JOINT = {"tokenize": "joint", "special_tokens": False}


def sentencepiece_like(*pieces: str) -> PreTrainedTokenizerFast:
    """Unigram of characters and pieces. A text begins with a space, and a prompt with BOS."""
    special = ["<unk>", "<s>", "</s>"]
    characters = ["▁", "\n", *map(chr, range(33, 127))]
    scores = [*((token, 0.0) for token in special), *((x, -5.0) for x in characters),
              *((piece, -1.0) for piece in pieces)]  # fmt: skip
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        pad_token="</s>",
    )  # fmt: skip


def tokens(tokenizer, prompt: str, response: str, **settings) -> tuple[list[str], list[str], int]:
    """Tokens of a ready prompt and of its response, and the number of crossing responses."""
    config = DataConfig(template="ready", **settings)
    encoded = encode([Record("", (response,), prompt=prompt)], tokenizer, config)
    (example,) = encoded.examples
    names = map(tokenizer.convert_ids_to_tokens, (example.prompt_ids, example.response_ids[0]))
    return *names, encoded.crossing_responses


def test_sentencepiece_puts_no_space_into_a_joint_text():
    """A response that is read alone has a space that the text has not."""
    tokenizer = sentencepiece_like("▁Say:", "Yes", "▁Yes")
    assert tokens(tokenizer, "Say:\n", "Yes") == (
        ["<s>", "▁Say:", "\n"], ["▁Yes", "</s>"], 0
    )  # fmt: skip
    assert tokens(tokenizer, "Say:\n", "Yes", **JOINT) == (
        ["▁Say:", "\n"], ["Yes", "</s>"], 0
    )  # fmt: skip
    with_bos = tokens(tokenizer, "Say:\n", "Yes", tokenize="joint")
    assert with_bos == (["<s>", "▁Say:", "\n"], ["Yes", "</s>"], 0)


@pytest.mark.parametrize(
    ("piece", "response", "expected"),
    [
        ("\nYes", "Yes!", ["!", "</s>"]),  # the text "Yes" is lost
        (":\nYes", "Yes", ["</s>"]),  # one token less than in the prompt
        ("Sa", "Yes", ["Y", "e", "s", "</s>"]),  # no token crosses the border
    ],
)
def test_a_token_across_the_border_is_cut_by_number_as_in_the_official_code(
    piece, response, expected
):
    """The official code removes as many tokens as the prompt alone has, whichever they are."""
    tokenizer = sentencepiece_like(piece)
    prompt_tokens, response_tokens, crossing = tokens(tokenizer, "Say:\n", response, **JOINT)
    whole = tokenizer(f"Say:\n{response}", add_special_tokens=False)["input_ids"]
    official = whole[len(prompt_tokens) :]
    assert prompt_tokens == tokenizer.tokenize("Say:\n")
    assert response_tokens == expected
    assert response_tokens == [*tokenizer.convert_ids_to_tokens(official), "</s>"]
    assert crossing == (piece != "Sa")


def test_joint_conversations_end_with_the_end_of_a_turn():
    """The template of this tokenizer writes a space before a response."""
    tokenizer = chat_tokenizer()
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    (example,) = encode(
        [Record("ask", ("red",))], tokenizer, DataConfig(template="chat", tokenize="joint")
    ).examples
    whole = tokenizer.decode([*example.prompt_ids, *example.response_ids[0]])
    assert whole.endswith(f"[assistant] red{END_OF_TURN}") and example.response_ids[0][-1] == end


def test_the_limit_of_prompt_and_response_together():
    """The response has what the longer of the two prompts leaves, and no other limit."""
    tokenizer = sentencepiece_like()
    record = Record("", ("x" * 50,), prompt="y" * 7, teacher_prompt="y" * 9)
    settings = {"template": "ready", "max_prompt_length": 10, "max_response_length": 5} | JOINT
    for limit, length in ((None, 5), (40, 30), (70, 51)):  # each prompt begins with a space
        encoded = encode([record], tokenizer, DataConfig(max_length=limit, **settings))
        assert len(encoded.examples[0].response_ids[0]) == length
        assert encoded.cut_responses == (length < 51)


@pytest.mark.skipif(not DOLLY.is_file(), reason=f"{DOLLY} does not exist")
def test_dolly_has_the_tokens_of_the_official_code():
    """With GPT-2's tokenizer, the two ways agree, because Dolly's prompts end with a line break."""
    tokenizer = load_tokenizer(str(GPT2))
    rows = [json.loads(line) for line in DOLLY.read_text("utf-8").splitlines()[:100]]
    records = [Record(row["instruction"], (row["output"],), row["input"]) for row in rows]
    config = DataConfig(template="alpaca", max_length=512, **JOINT)
    examples = encode(records, tokenizer, config).examples
    alone = encode(records, tokenizer, DataConfig(template="alpaca", max_length=512)).examples
    for row, example, other in zip(rows, examples, alone, strict=True):
        prompt = tokenizer.encode(row["prompt"], add_special_tokens=False)
        whole = tokenizer.encode(row["prompt"] + row["output"], add_special_tokens=False)
        whole = [*whole, tokenizer.eos_token_id][:512]
        assert example.prompt_ids + example.response_ids[0] == whole
        assert example.prompt_ids == prompt
        assert (other.prompt_ids, other.response_ids) == (prompt, example.response_ids)
