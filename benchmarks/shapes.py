"""What the benchmarks are run on: shapes of models and batches, and the models built for them.

Without trained models their weights are random. Where a shape's responses end, a bias on the output
head's EOS row then gives the end of a response a chance of its own at every token; where they do
not, EOS is a token that the model does not know.
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
        name: as in tables.
        vocab_size: V, of teacher and student.
        teacher: hidden size, layers and heads.
        student: the same.
        rollouts: responses in a collection, which is one mini-batch.
        micro_batch: rollouts in one forward pass of training.
        prompt: mean and standard deviation of the tokens of a synthetic prompt.
        response: the longest response, in tokens.
        mean_response: of random models; None where no response ends early.
        inner_epochs: passes over a collection, an optimiser step each.
        dtype: of both models.
        device: where it must run; None for anywhere.
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
    # Prompts of E2E have 31 tokens of its 2000 (standard deviation 8), responses 27.
    "e2e": (Shape("e2e", 2000, (128, 4, 4), (64, 2, 2), 64, 16, (31, 8), 96, 27.0),),
    "wide": (Shape("wide", 50257, (768, 12, 12), (256, 4, 4), 16, 16, (64, 0), 64, None),),
    "paper": (_paper(16), _paper(64)),
    "tiny": (Shape("tiny", 50, (16, 2, 2), (8, 1, 2), 4, 2, (5, 2), 8, 4.0),),  # of the tests
}


@dataclass(frozen=True)
class Problem:
    """Models and prompts of a shape; the student is trained in place by whoever is measured.

    Attributes:
        shape: the sizes.
        student: on the device.
        teacher: frozen, on the device.
        examples: prompts as text and ids, without responses where they are synthetic.
        validation: inputs with references; none where prompts are synthetic.
        source: where models and prompts come from, in words.
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
    """Models and prompts for a shape, the same at every call.

    Args:
        shape: the sizes.
        architecture: `gpt2` or `llama`.
        device: where the models go.
        runs: folder with `teacher/best` and `init/best` of that architecture, in place of random
            models.
        data: folder with E2E's csv files, in place of random prompts; needs `runs`, whose
            tokenizer reads them.
    """
    if runs:
        tokenizer = load_tokenizer(str(runs / "init" / "best"))
        teacher, student = (
            load_model(ModelConfig(path=str(runs / name / "best")), tokenizer)
            for name in ("teacher", "init")
        )
        found = {x.module.config.model_type for x in (teacher, student)}
        if found != {architecture}:
            raise InputError(f"{runs} holds models of type {found}, but {architecture} is needed.")
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
    """The same models with next to nothing to do, to warm up with."""
    few = replace(problem.shape, rollouts=2, micro_batch=2, response=2, inner_epochs=1)
    return replace(problem, shape=few, examples=problem.examples[:2])


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
    # All logits of random weights are about 0, those of EOS and its bias too.
    bias = torch.zeros(shape.vocab_size, dtype=model.module.dtype)
    bias[model.eos_ids[0]] = math.log(shape.vocab_size / (shape.mean_response - 1))
    head = model.module.get_output_embeddings()
    head.bias = nn.Parameter(bias, requires_grad=False)
    return model


def _words(count: int) -> PreTrainedTokenizerFast:
    """A tokenizer of `count` words w0, w1, ... with a space between."""
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(count)}, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="w0", pad_token="w0")


def _synthetic(shape: Shape, student: LanguageModel, count: int = 1024) -> list[Example]:
    """Prompts of random words, their lengths normally distributed."""
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
