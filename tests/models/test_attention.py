"""The setting `runtime.attn_implementation`: eager, sdpa, FlashAttention, and names that fail.

FlashAttention's kernels are replaced by plain torch, see `flash_attention.py`.
"""

from dataclasses import replace
from functools import wraps
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, modeling_flash_attention_utils
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from minillm.config import ModelConfig
from minillm.data.batches import PromptBatch
from minillm.data.tokenizers import load_tokenizer
from minillm.errors import InputError
from minillm.models.check import check_model
from minillm.models.forward import response_hidden
from minillm.models.language_model import LanguageModel, load_model
from minillm.sampling.sampler import Decoding, sample
from tests.conftest import BUILT
from tests.models import flash_attention
from tests.models.stock_models import build
from tests.tiny import log_prob_table

FLASH = "runtime.attn_implementation=flash_attention_2"


@pytest.fixture
def flash_attention_2(monkeypatch) -> list[bool]:
    """transformers calls the functions of `flash_attention.py`. The list has an entry per call.

    An entry says whether the queries need a gradient.
    """
    calls = []

    def counted(function):
        @wraps(function)
        def count(queries, *arguments, **options):
            calls.append(queries.requires_grad)
            return function(queries, *arguments, **options)

        return count

    attention = (counted(flash_attention.flash_attn_func),
                 counted(flash_attention.flash_attn_varlen_func))  # fmt: skip
    utils = modeling_flash_attention_utils
    functions = *attention, None, utils._pad_input, utils._unpad_input
    monkeypatch.setattr(utils, "_lazy_imports", lambda *_, **__: functions)
    monkeypatch.setattr(utils, "_loaded_implementation", None)
    monkeypatch.setattr(PreTrainedModel, "_flash_attn_can_dispatch", lambda *_, **__: True)
    return calls


def with_flash_attention(kind: str) -> LanguageModel:
    model = build(kind, seed=1, dtype=torch.float32)
    model.module.set_attn_implementation("flash_attention_2")
    return replace(model, autocast=torch.bfloat16)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "gemma2", "qwen3"])
def test_flash_attention_reads_padded_prompts_and_rows_that_join(flash_attention_2, kind):
    """Log-probabilities of sampling and scoring are those of a model in float32 without it."""
    model, plain = with_flash_attention(kind), build(kind, seed=1, dtype=torch.float32)
    check_model(model)
    prompts = PromptBatch.pad([[5, 6, 7, 8, 9, 10], [13], [14, 15, 16]], 1)
    generator = torch.Generator().manual_seed(3)
    rollout = sample(model, prompts, Decoding(8), generator=generator, batch_size=2)
    expected = log_prob_table(plain, rollout.sequences)
    assert (rollout.student_log_probs - expected).abs().max() < 0.2
    real = rollout.mask.bool()
    with torch.no_grad():
        hidden, plain_hidden = (response_hidden(x, rollout.sequences)[real] for x in (model, plain))
    assert (hidden - plain_hidden).square().mean() < 1e-3 * plain_hidden.square().mean()


def test_flash_attention_that_attends_to_padding_is_refused(flash_attention_2, monkeypatch):
    model = with_flash_attention("llama")
    masks = ALL_MASK_ATTENTION_FUNCTIONS._global_mapping
    monkeypatch.setitem(masks, "flash_attention_2", lambda *_, **__: None)
    with pytest.raises(InputError, match="its prompts are padded on the left"):
        check_model(model)


def test_a_run_and_its_evaluation_use_flash_attention(
    flash_attention_2, command, settings, teacher
):
    run = [*settings, *BUILT, "method=kd", f"teacher.path={teacher}/best", "output=run"]
    outcome = command("train", *run, FLASH, "runtime=bf16", "runtime.gradient_checkpointing=true")
    assert outcome.status == 0, outcome.err
    assert set(flash_attention_2) == {False, True}  # calls without and with gradients
    assert "flash" not in Path("run/best/config.json").read_text()
    flash_attention_2.clear()
    outcome = command("generate", "run", "--prompt", "Mix red")
    assert outcome.status == 0 and flash_attention_2, outcome.err


def test_flash_attention_in_float32_is_refused(refused, teacher):
    message = refused(f"student.path={teacher}/best", FLASH)
    assert f"{FLASH} is not allowed with student.dtype=float32" in message
    assert "runtime=bf16" in message


@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_9", "a/b"])
def test_what_transformers_refuses_is_explained(refused, teacher, name):
    setting = f"runtime.attn_implementation={name}"
    for student in ([f"student.path={teacher}/best"], BUILT):
        message = refused(*student, setting, "runtime=bf16")
        assert f"{setting} cannot be used for models of type 'gpt2': " in message
        assert "runtime.attn_implementation=null" in message


def test_the_implementation_is_used(teacher):
    tokenizer = load_tokenizer(str(teacher / "best"))
    config, ids = ModelConfig(path=str(teacher / "best")), torch.arange(3, 9)[None]
    models = [load_model(config, tokenizer, name).module for name in ("eager", "sdpa")]
    assert [model.config._attn_implementation for model in models] == ["eager", "sdpa"]
    torch.testing.assert_close(*(model(ids).logits for model in models))
