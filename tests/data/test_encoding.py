"""Encoding of records as token ids and padded tensors: cuts are counted, padding is masked."""

import pytest
import torch

from minillm.commands.loading import encode_splits
from minillm.config import Config, DataConfig
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.data.encoding import encode
from minillm.data.records import Record
from minillm.data.tokenizers import train_tokenizer
from minillm.errors import InputError
from tests.conftest import BUILT

TEXTS = ["the cat sat on the mat", "a naïve café, 東京 and 🙂 over\ttwo\nlines"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 320)


def test_equal_texts_give_equal_tokenizers(tokenizer):
    again = train_tokenizer(iter(TEXTS), 320)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert len(tokenizer) <= 320


@pytest.mark.parametrize("text", [*TEXTS[:2], "unseen: ÆØÅ \x00\x7f ∑ 😀", " leading  spaces "])
def test_a_trained_tokenizer_decodes_any_text_unchanged(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_long_prompts_are_dropped_and_long_responses_cut_and_both_counted(tokenizer):
    config = DataConfig(template="plain", max_prompt_length=12, max_response_length=4)
    records = [
        Record("the cat", ("mat", "the cat sat on the mat, " * 9)),
        Record("the cat sat on the mat, " * 9, ("mat",)),
    ]
    encoded = encode(records, tokenizer, config)
    assert (len(encoded.examples), encoded.dropped_prompts, encoded.cut_responses) == (1, 1, 1)
    uncut, cut = encoded.examples[0].response_ids
    assert uncut[-1] == tokenizer.eos_token_id
    assert len(cut) == 4 and tokenizer.eos_token_id not in cut
    assert encoded.summary(config).endswith(
        "; 1 prompts over data.max_prompt_length dropped; 1 responses cut to "
        "data.max_response_length"
    )


def test_long_prompts_of_the_test_split_keep_their_first_tokens(tokenizer):
    """The official evaluator takes the first tokens of a prompt, and scores all inputs."""
    long = Record("the cat sat on the mat, " * 9, ("mat",), teacher_prompt="the cat " * 9)
    rows = [Record("the cat", ("mat",)), long]
    records = {"train": rows, "test": rows}
    data = DataConfig(max_prompt_length=12, long_test_prompts="truncate")
    encoded = encode_splits(records, tokenizer, Config(data=data))
    assert (encoded["train"].dropped_prompts, encoded["train"].cut_prompts) == (1, 0)
    assert (encoded["test"].dropped_prompts, encoded["test"].cut_prompts) == (0, 1)
    cut = encoded["test"].examples[1]
    assert cut.prompt_ids == tokenizer("the cat sat on the mat, " * 9)["input_ids"][:12]
    assert cut.teacher_prompt_ids == tokenizer("the cat " * 9)["input_ids"][:12]
    assert cut.prompt == tokenizer.decode(cut.prompt_ids)
    assert "1 prompts cut to their first data.max_prompt_length" in encoded["test"].summary(data)
    assert "(or the teacher's to data.max_teacher_prompt_length)" in encoded["test"].summary(data)


def test_the_limit_that_drops_all_inputs_is_named(tokenizer):
    data = DataConfig(teacher_template="demonstration", max_teacher_prompt_length=5)
    records = {"train": [Record("the cat", ("mat",))]}
    with pytest.raises(InputError, match="1 prompts of the teacher have more than") as error:
        encode_splits(records, tokenizer, Config(data=data))
    assert "max_prompt_length=256" not in str(error.value)


def test_test_inputs_are_selected_by_the_tokens_of_their_first_reference(tokenizer):
    """Without EOS, both limits included, and before a response is cut. Other splits stay whole."""
    references = ["", "the", "the cat", "the cat sat on the mat"]
    lengths = [len(tokenizer(text)["input_ids"]) for text in references]
    assert lengths[0] == 0 and sorted(set(lengths)) == lengths
    rows = [Record(f"{i}", (text, "mat")) for i, text in enumerate(references)]

    def selected(**limits: int | None):
        data = DataConfig(max_response_length=1, **limits)
        encoded = encode_splits({"train": rows, "test": rows}, tokenizer, Config(data=data))
        assert len(encoded["train"].examples) == 4 and not encoded["train"].dropped_references
        return encoded["test"]

    middle = selected(min_reference_length=lengths[1], max_reference_length=lengths[2])
    assert [example.references[0] for example in middle.examples] == references[1:3]
    assert "2 inputs dropped, whose first reference is shorter than" in middle.summary(DataConfig())
    assert [x.references[0] for x in selected(max_reference_length=0).examples] == [""]
    assert len(selected(min_reference_length=lengths[3]).examples) == 1
    with pytest.raises(InputError, match=rf"=99 to .*=null .*from 0 to {lengths[3]}: change"):
        selected(min_reference_length=99)


def test_ready_prompts_that_a_template_replaces_are_counted(tokenizer, caplog):
    """A ready prompt that the template also makes, as in the paper's data, is no surprise."""
    records = [
        Record("the cat", ("mat",), unused_prompt="the cat\n"),
        Record("the cat", ("mat",), unused_prompt="Question: the cat"),
    ]
    encoded = encode_splits({"validation": records, "test": records}, tokenizer, Config())["test"]
    assert [example.prompt for example in encoded.examples] == ["the cat\n"] * 2
    assert encoded.unused_prompts == 1
    assert caplog.text.count("ready prompt in") == 1
    assert "2 of 4 inputs have a ready prompt in the column 'prompt', which is not" in caplog.text
    assert "Set data.template=ready" in caplog.text


def test_padding_is_on_the_left_of_prompts_and_masks_distinguish_it_from_eos(tokenizer):
    """The pad token and EOS have the same id, so that only the mask distinguishes them."""
    end = tokenizer.eos_token_id
    assert tokenizer.pad_token_id == end
    batch = SequenceBatch.pad([([5, 6, 7], [end]), ([8], [9, 10, end])], end)
    assert batch.prompt_ids.tolist() == [[5, 6, 7], [end, end, 8]]
    assert batch.prompt_mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert batch.response_ids.tolist() == [[end, end, end], [9, 10, end]]
    assert batch.response_mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch.tokens == 4
    short = batch.select(torch.tensor([0]))
    assert short.response_ids.tolist() == [[end]] and short.prompt_ids.tolist() == [[5, 6, 7]]
    prompts = PromptBatch.pad([[end, 5], [6]], end)
    assert prompts.mask.tolist() == [[1, 1], [0, 1]]


def test_prompts_over_the_limit(command, refused, settings):
    message = refused(*BUILT, "data.max_prompt_length=2")
    assert "data.max_prompt_length=2" in message and "Raise the limit" in message
    outcome = command("data", *settings, *BUILT, "data.max_prompt_length=6")
    assert "prompts over data.max_prompt_length dropped" in outcome.out
