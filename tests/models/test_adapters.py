"""Adapters: gradients, the base as teacher, merged and saved models, 4-bit weights."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.func import functional_call
from transformers import AutoModelForCausalLM, AutoTokenizer

from minillm.config import (
    Config,
    LoraConfig,
    MethodConfig,
    MiniLLMConfig,
    ModelConfig,
    TokenLossConfig,
)
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.data.encoding import Example
from minillm.errors import InputError
from minillm.methods import build_method
from minillm.models.adapters import (
    add_adapter,
    load_adapter,
    merged,
    save_adapter,
    without_adapter,
)
from minillm.models.language_model import LanguageModel, load_model
from minillm.models.quantization import compute_in
from minillm.models.recomputation import recomputing
from minillm.objectives.distributions import log_softmax, token_log_probs
from minillm.objectives.minillm import losses
from minillm.sampling.sampler import Decoding, sample
from minillm.sources.source import TrainingBatch
from minillm.teachers import BaseTeacher, LocalTeacher
from minillm.training.setup import Setup
from tests.tiny import EOS, response_logits, tiny_config, tiny_model

PAIRS = [([1], [2, 0]), ([2, 3], [1, 3, 2, 0]), ([3, 1, 2], [0]), ([1, 1], [3, 3, 0])]
TRAIN = [Example("", (), "", prompt, [response]) for prompt, response in PAIRS]
BATCH = SequenceBatch.pad(PAIRS, EOS)
KINDS = pytest.mark.parametrize("kind", ["gpt2", "llama"])  # with transposed weights, and without


def adapted(kind: str = "llama", *, changed: bool = True, dropout: float = 0.0) -> LanguageModel:
    """A tiny student with an adapter of rank 2; `changed` makes the matrices B differ from 0."""
    model = tiny_model(1, kind=kind)
    add_adapter(model.module, LoraConfig(rank=2, alpha=3, dropout=dropout), seed=5)
    torch.manual_seed(7)
    for name, weight in model.module.named_parameters():
        if changed and "lora_B" in name:
            nn.init.normal_(weight, std=0.5)
    return model


def trained(model: LanguageModel) -> dict[str, Tensor]:
    return {name: x for name, x in model.module.named_parameters() if x.requires_grad}


def with_plain_weights(model: LanguageModel) -> LanguageModel:
    """A model whose weights are W + 1.5 B A, as functions of A and B."""
    weights, plain = trained(model), tiny_model(1, kind=model.module.config.model_type)
    names = {name.partition(".lora_")[0] for name in weights}
    sums = dict(plain.module.named_parameters())
    for name in names:
        a, b = (weights[f"{name}.lora_{x}.default.weight"] for x in "AB")
        delta = 1.5 * b @ a
        weight = sums[f"{name}.weight"]
        is_transposed = model.module.config.model_type == "gpt2"
        sums[f"{name}.weight"] = weight + (delta.T if is_transposed else delta)

    def forward(*ids, **inputs):
        return functional_call(plain.module, sums, ids, inputs, tie_weights=False)

    return replace(plain, module=forward)


def setup(student: LanguageModel, method: MethodConfig, teacher: LocalTeacher) -> Setup:
    config = Config(method=method)
    return Setup(config, student, teacher, TRAIN, torch.device("cpu"), 0, 1, Path())


def assert_same_gradients(model: LanguageModel, actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)
    weights = list(trained(model).values())
    gradients = [torch.autograd.grad(value, weights) for value in (actual, expected)]
    assert max(gradient.abs().max() for gradient in gradients[0]) > 1e-3
    for gradient, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, plain, atol=1e-10, rtol=0)


@KINDS
def test_a_new_adapter_changes_nothing_and_all_other_weights_are_frozen(kind):
    student = adapted(kind, changed=False)
    plain = tiny_model(1, kind=kind)
    assert torch.equal(response_logits(student, BATCH), response_logits(plain, BATCH))
    assert all("lora_" in name for name in trained(student))
    assert student.parameters == plain.parameters + student.trained_parameters
    again = trained(adapted(kind, changed=False))
    assert all(torch.equal(again[name], weight) for name, weight in trained(student).items())


@KINDS
@pytest.mark.parametrize("is_recomputed", [False, True])
def test_the_gradients_of_kd_are_those_of_plain_weights(kind, is_recomputed):
    student = adapted(kind)
    teacher = BaseTeacher.of(student)
    used = recomputing(student) if is_recomputed else student
    loss = build_method(setup(used, TokenLossConfig(kd_ratio=0.3), teacher)).parts["tokens"].loss
    (part,) = loss.micro_batches(TrainingBatch(BATCH), None)
    value, _ = loss(student.module, part)
    log_q = log_softmax(response_logits(with_plain_weights(student), BATCH))
    log_p = log_softmax(response_logits(tiny_model(1, kind=kind), BATCH)).detach()
    cross_entropy = -token_log_probs(log_q, BATCH.response_ids)
    tokens = 0.7 * cross_entropy + 0.3 * (log_p.exp() * (log_p - log_q)).sum(-1)
    assert_same_gradients(student, value, (tokens * BATCH.response_mask).sum())


@KINDS
def test_the_gradients_of_minillm_are_those_of_plain_weights(kind):
    student = adapted(kind)
    teacher = BaseTeacher.of(student)
    method = build_method(setup(student, MiniLLMConfig(), teacher)).parts["tokens"]
    prompts = PromptBatch.pad([example.prompt_ids for example in TRAIN], EOS)
    generator = torch.Generator().manual_seed(3)
    rollout = sample(
        student, prompts, Decoding(6), generator=generator, teacher=teacher.sampler, alpha=0.4
    )
    assert 0 < rollout.teacher_calls < rollout.steps + 2
    rows = method.source.batch(rollout, torch.arange(len(rollout)))
    (part,) = method.loss.micro_batches(rows, None)
    sequences = part.batch.sequences
    value, _ = method.loss(student.module, part)
    log_q = log_softmax(response_logits(with_plain_weights(student), sequences))
    base = tiny_model(1, kind=kind)
    log_p = log_softmax(response_logits(base, sequences)).detach()
    log_probs = token_log_probs(log_q, sequences.response_ids)
    reverse_kl = (log_q.exp() * (log_q - log_p)).sum(-1)
    given = part.old_log_probs, part.weights, part.advantages
    expected = losses(log_probs, reverse_kl, *given, settings=method.loss.settings).total
    assert_same_gradients(student, value, (expected * sequences.response_mask).sum())


def test_the_base_is_the_teacher_in_one_copy_of_the_weights():
    student = adapted(dropout=0.5)
    teacher = BaseTeacher.of(student)
    frozen = {x.data_ptr() for x in student.module.parameters() if not x.requires_grad}
    assert {x.data_ptr() for x in teacher.model.module.parameters()} == frozen
    student.module.train()
    logits = response_logits(teacher.model, BATCH)
    assert torch.equal(logits, response_logits(tiny_model(1, kind="llama"), BATCH))
    assert not any(module.training for module in teacher.model.module.modules())
    assert len(frozen) == len(list(tiny_model(1, kind="llama").module.parameters()))


@KINDS
def test_the_merged_model_is_the_model_with_its_adapter(kind, tmp_path):
    """So are the folder in plain transformers, and the base with the saved adapter in PEFT."""
    base, student = tiny_model(1, kind=kind), adapted(kind)
    before = copy.deepcopy(student.module.state_dict())
    expected = response_logits(student, BATCH)
    merged(student.module).save_pretrained(tmp_path / "merged")
    save_adapter(student.module, tmp_path / "adapter")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float64)
    assert type(plain) is type(base.module)
    assert not [name for name in plain.state_dict() if "lora" in name or "base_layer" in name]
    with_peft = PeftModel.from_pretrained(base.module, tmp_path / "adapter")
    for module in (plain, with_peft):
        logits = response_logits(replace(student, module=module.eval()), BATCH)
        torch.testing.assert_close(logits, expected, atol=1e-10, rtol=0)
    after = student.module.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_a_base_in_bfloat16_has_an_adapter_and_a_merged_model_in_float32():
    model = tiny_model(1, kind="llama")
    model.module.to(torch.bfloat16)
    add_adapter(model.module, LoraConfig(rank=2), seed=5)
    assert {x.dtype for x in trained(model).values()} == {torch.float32}
    plain = merged(model.module)
    assert {x.dtype for x in plain.parameters()} == {torch.float32}
    assert without_adapter(model.module).dtype == torch.bfloat16
    assert plain.lm_head.weight.data_ptr() != model.module.lm_head.weight.data_ptr()


def test_an_adapter_of_another_model_is_refused(tmp_path):
    save_adapter(adapted().module, tmp_path)
    wide = AutoModelForCausalLM.from_config(tiny_config("llama", hidden_size=16))
    with pytest.raises(InputError, match=r"does not fit the model .* of another shape"):
        load_adapter(wide, str(tmp_path))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["q_proj", "k"], "no layer of LlamaForCausalLM is named k. Its linear layers are down_"),
        (["lm_head"], "lm_head is an embedding or the output head"),
        (["embed_tokens"], "embed_tokens is an embedding or the output head"),
    ],
)
def test_layers_that_cannot_have_an_adapter_are_refused(names, words):
    model = tiny_model(1, kind="llama")
    with pytest.raises(InputError, match=words):
        add_adapter(model.module, LoraConfig(rank=2, target_modules=names), seed=1)


@pytest.fixture(params=["llama", "gpt2"])
def quantized(request, tmp_path, teacher) -> LanguageModel:
    """A model in 4 bits, with layers of the sizes that bitsandbytes can store, and an adapter."""
    tokenizer = AutoTokenizer.from_pretrained(teacher / "best")
    shape = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0}
    sizes = {"llama": {"hidden_size": 64, "intermediate_size": 128}, "gpt2": {"n_embd": 64}}
    torch.manual_seed(3)
    config = tiny_config(request.param, **shape | sizes[request.param])
    module = AutoModelForCausalLM.from_config(config)
    module.save_pretrained(tmp_path / "base")
    model = load_model(ModelConfig(path=str(tmp_path / "base"), load_in_4bit=True), tokenizer)
    add_adapter(model.module, LoraConfig(rank=4), seed=1)
    return model


def test_a_model_in_4_bits_samples_and_trains_and_is_merged(quantized, tmp_path):
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert quantized.parameters == plain.num_parameters() + quantized.trained_parameters
    compute_in(quantized.module, torch.float32)
    before = response_logits(quantized, BATCH)
    assert 1e-4 < (before - plain_logits(quantized, plain)).abs().max() < 0.3
    rollout = sample(quantized, BATCH.prompts, Decoding(4),
                     generator=torch.Generator().manual_seed(1))  # fmt: skip
    assert len(rollout) == len(PAIRS)
    teacher = BaseTeacher.of(quantized)
    assert torch.equal(response_logits(teacher.model, BATCH), before)
    loss = build_method(setup(quantized, TokenLossConfig(kd_ratio=0.5), teacher)).parts["tokens"]
    optimizer = torch.optim.AdamW(trained(quantized).values(), lr=1e-2)
    values = []
    for _ in range(5):
        (part,) = loss.loss.micro_batches(TrainingBatch(BATCH), None)
        value, _ = loss.loss(quantized.module, part)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        values.append(float(value.detach()))
    assert values[-1] < values[0] - 1
    assert torch.equal(response_logits(teacher.model, BATCH), before)
    merged(quantized.module).save_pretrained(tmp_path / "merged")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    expected = response_logits(quantized, BATCH)
    torch.testing.assert_close(plain_logits(quantized, loaded), expected, atol=1e-5, rtol=0)


def plain_logits(model: LanguageModel, module: nn.Module) -> Tensor:
    return response_logits(replace(model, module=module.eval()), BATCH)
