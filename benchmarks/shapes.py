"""The shapes of models and batches for the benchmarks, and the models and prompts of a shape.

Without trained models, the weights are random. If the responses of the shape have random lengths,
a bias of the EOS row of the output head gives EOS a fixed probability at every token. If all
responses have the maximum length, EOS is a token outside of the model's vocabulary.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import PreTrainedTokenizerFast

from minillm.commands.loading import encode_splits, read_records
from minillm.compose import load_config
from minillm.config import ModelConfig
from minillm.data.encoding import Example
from minillm.data.tokenizers import load_tokenizer
from minillm.errors import InputError
from minillm.models.language_model import LanguageModel, build_model, load_model


@dataclass(frozen=True)
class Shape:
    """Sizes of a measurement.

    Attributes:
        name: the name in tables.
        vocab_size: vocabulary size V of teacher and student.
        teacher: hidden size, layers and heads of the teacher.
        student: hidden size, layers and heads of the student.
        rollouts: responses per collection, which is one mini-batch.
        micro_batch: rollouts per forward pass of training.
        prompt: mean and standard deviation of the length of synthetic prompts, in tokens.
        response: maximum length of a response, in tokens.
        mean_response: mean length of the responses of random models, in tokens; None if all
            responses have the maximum length.
        inner_epochs: passes over a collection; each pass is one optimiser step.
        dtype: type of both models.
        device: required device; None for any device.
    """

    name: str
    vocab_size: int
    teacher: tuple[int, int, int]
    student: tuple[int, int, int]
    rollouts: int
    micro_batch: int
    prompt: tuple[float, float]
    response: int
    mean_response: float | None
    inner_epochs: int = 4
    dtype: str = "float32"
    device: str | None = None


def _paper(rollouts: int) -> Shape:
    return Shape(f"paper, batch {rollouts}", 50257, (1600, 48, 25), (768, 12, 12), rollouts,
                 rollouts, (256, 0), 256, None, dtype="bfloat16", device="cuda")  # fmt: skip


SHAPES: dict[str, tuple[Shape, ...]] = {
    # With the vocabulary of 2000, E2E prompts have 31 tokens (standard deviation 8), responses 27.
    "e2e": (Shape("e2e", 2000, (128, 4, 4), (64, 2, 2), 64, 16, (31, 8), 96, 27.0),),
    "wide": (Shape("wide", 50257, (768, 12, 12), (256, 4, 4), 16, 16, (64, 0), 64, None),),
    "paper": (_paper(16), _paper(64)),
    "tiny": (Shape("tiny", 50, (16, 2, 2), (8, 1, 2), 4, 2, (5, 2), 8, 4.0),),  # for the tests
}


@dataclass(frozen=True)
class Problem:
    """Models and prompts of a shape. Measurements train the student in place.

    Attributes:
        shape: the sizes.
        student: the student, on the device.
        teacher: the frozen teacher, on the device.
        examples: prompts as text and ids; synthetic prompts have no responses.
        validation: inputs with references; empty for synthetic prompts.
        source: description of the origin of models and prompts.
    """

    shape: Shape
    student: LanguageModel
    teacher: LanguageModel
    examples: list[Example]
    validation: list[Example]
    source: str

    @property
    def device(self) -> torch.device:
        return self.student.device


def build_problem(
    shape: Shape, architecture: str, device: str, runs: Path | None = None, data: Path | None = None
) -> Problem:
    """Models and prompts of a shape; equal arguments give equal results.

    Args:
        shape: the sizes.
        architecture: `gpt2` or `llama`.
        device: device of the models.
        runs: folder with `teacher/best` and `init/best` of that architecture; None for models with
            random weights.
        data: folder with the csv files of E2E; None for random prompts. `data` needs `runs`,
            because the tokenizer of the trained models encodes the prompts.

    Raises:
        InputError: the models in `runs` have another architecture.
    """
    if runs:
        tokenizer = load_tokenizer(str(runs / "init" / "best"))
        teacher, student = (
            load_model(ModelConfig(path=str(runs / name / "best")), tokenizer)
            for name in ("teacher", "init")
        )
        types = {model.module.config.model_type for model in (teacher, student)}
        if types != {architecture}:
            raise InputError(
                f"the models in {runs} have the type {' and '.join(sorted(types))}, but "
                f"--{architecture} needs models of type {architecture}. Give another folder."
            )
    else:
        teacher, student = (
            _random_model(shape, size, architecture, seed)
            for seed, size in enumerate((shape.teacher, shape.student))
        )
    teacher.module.requires_grad_(False).eval()
    examples, validation = (
        _e2e_examples(data, student.tokenizer) if data else (_synthetic(shape, student), [])
    )
    source = f"{'trained' if runs else 'random'} models, {'E2E' if data else 'random'} prompts"
    return Problem(shape, student.to(device), teacher.to(device), examples, validation, source)


def small(problem: Problem) -> Problem:
    """The same models with two prompts and responses of two tokens, for the warm-up."""
    shape = replace(problem.shape, rollouts=2, micro_batch=2, response=2, inner_epochs=1)
    return replace(problem, shape=shape, examples=problem.examples[:2])


def _random_model(
    shape: Shape, size: tuple[int, int, int], architecture: str, seed: int
) -> LanguageModel:
    hidden_size, layers, heads = size
    config = ModelConfig(architecture=architecture, hidden_size=hidden_size, layers=layers,
                         heads=heads, dtype=shape.dtype)  # fmt: skip
    mean, deviation = shape.prompt
    longest = math.ceil(mean + 3 * deviation) + shape.response
    tokenizer = _words(shape.vocab_size)
    model = build_model(config, tokenizer, longest, seed)
    if shape.mean_response is None:
        tokenizer.add_special_tokens({"eos_token": "<end>"})
        model.module.generation_config.eos_token_id = tokenizer.eos_token_id
        return replace(model, eos_ids=(tokenizer.eos_token_id,))
    # With random weights, all logits are about 0 without the bias.
    bias = torch.zeros(shape.vocab_size, dtype=model.module.dtype)
    bias[model.eos_ids[0]] = math.log(shape.vocab_size / (shape.mean_response - 1))
    head = model.module.get_output_embeddings()
    head.bias = nn.Parameter(bias, requires_grad=False)
    return model


def _words(count: int) -> PreTrainedTokenizerFast:
    """A tokenizer of the `count` words w0, w1, ..., separated by spaces."""
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(count)}, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="w0", pad_token="w0")


def _synthetic(shape: Shape, student: LanguageModel, count: int = 1024) -> list[Example]:
    """Prompts of random words with normally distributed lengths."""
    generator = torch.Generator().manual_seed(0)
    mean, deviation = shape.prompt
    examples = []
    for _ in range(count):
        length = round(mean + deviation * float(torch.randn((), generator=generator).clamp(-3, 3)))
        ids = torch.randint(2, shape.vocab_size, (max(length, 1),), generator=generator).tolist()
        text = " ".join(f"w{i}" for i in ids)
        examples.append(Example(text, (), "", ids, [[student.eos_ids[0]]]))
    return examples


def _e2e_examples(data: Path, tokenizer) -> tuple[list[Example], list[Example]]:
    config = load_config(["experiment=e2e/minillm", f"data.path={data}", "output=none"])
    splits = encode_splits(read_records(config, ["train", "validation"]), tokenizer, config)
    return splits["train"].examples, splits["validation"].examples
