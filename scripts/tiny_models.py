"""Writes a tiny random model of a family, with a tokenizer like that of the family.

    python scripts/tiny_models.py gpt2/120M FOLDER

The names are those of configs/family. `SMOKE=1 bash scripts/gpt2/kd/120M.sh` and the tests of the
families use these models instead of the pretrained ones: they have the same architecture, the same
kinds of special tokens and vocabulary, and the same ties between their embeddings.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import processors
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    LlamaConfig,
    OPTConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)
from transformers.utils import logging

from minillm.data.embedded.generate import generate_records
from minillm.data.records import Record
from minillm.data.tokenizers import train_tokenizer

FAMILIES = Path(__file__).parents[1] / "configs" / "family"
WIDTH, HEADS, LENGTH = 16, 2, 1024
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Qwen3's template, it writes an empty thought before the last answer.
THINKING = CHATML.replace(
    "{{ message['content'] }}",
    "{% if loop.last and message['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message['content'] }}",
)
LLAMA3 = (
    "<|begin_of_text|>{% for message in messages %}<|start_header_id|>{{ message['role'] }}"
    "<|end_header_id|>\n\n{{ message['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


@dataclass(frozen=True)
class Kind:
    """What the models of a family have in common.

    Attributes:
        shape: the config of a model, from its number of layers and other settings.
        tokens: the special tokens, as attributes of the tokenizer such as `eos_token`.
        added: further special tokens.
        ends: EOS tokens of the generation config; empty for `eos_token` only.
        template: the chat template.
        adds_bos: whether the tokenizer writes BOS before a text.
        spare_rows: output rows without a token.
        tied: whether the input and output embeddings are the same.
    """

    shape: Callable[..., PretrainedConfig]
    tokens: dict[str, str]
    added: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    template: str | None = None
    adds_bos: bool = False
    spare_rows: int = 0
    tied: bool = True


def gpt2(layers: int, **common: Any) -> PretrainedConfig:
    return GPT2Config(n_embd=WIDTH, n_layer=layers, n_head=HEADS, n_positions=LENGTH, **common)


def gptj(layers: int, **common: Any) -> PretrainedConfig:
    return GPTJConfig(n_embd=WIDTH, n_layer=layers, n_head=HEADS, n_positions=LENGTH,
                      rotary_dim=4, **common)  # fmt: skip


def gpt_neo(layers: int, **common: Any) -> PretrainedConfig:
    return GPTNeoConfig(hidden_size=WIDTH, num_layers=layers, num_heads=HEADS, window_size=8,
                        max_position_embeddings=LENGTH,
                        attention_types=[[["global", "local"], layers // 2]], **common)  # fmt: skip


def opt(layers: int, **common: Any) -> PretrainedConfig:
    return OPTConfig(hidden_size=WIDTH, word_embed_proj_dim=WIDTH, ffn_dim=4 * WIDTH,
                     num_hidden_layers=layers, num_attention_heads=HEADS,
                     max_position_embeddings=LENGTH, **common)  # fmt: skip


def llama(kind: type[PretrainedConfig]) -> Callable[..., PretrainedConfig]:
    def shape(layers: int, **common: Any) -> PretrainedConfig:
        return kind(hidden_size=WIDTH, intermediate_size=3 * WIDTH, num_hidden_layers=layers,
                    num_attention_heads=HEADS, num_key_value_heads=1, head_dim=WIDTH // HEADS,
                    max_position_embeddings=LENGTH, **common)  # fmt: skip

    return shape


END = "<|endoftext|>"
GPT2 = Kind(gpt2, {"bos_token": END, "eos_token": END})
KINDS = {
    "gpt2": GPT2,
    "gptj": Kind(gptj, GPT2.tokens, added=tuple(f"<|extratoken_{i}|>" for i in range(1, 14)),
                 tied=False),
    "gpt_neo": Kind(gpt_neo, GPT2.tokens),
    "opt": Kind(opt, {"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"},
                adds_bos=True),
    "llama": Kind(llama(LlamaConfig), {"bos_token": "<s>", "eos_token": "</s>"}, adds_bos=True,
                  tied=False),
    "qwen2.5": Kind(llama(Qwen2Config), {"eos_token": END, "pad_token": END},
                    added=("<|im_start|>", "<|im_end|>"), template=CHATML, spare_rows=9),
    "qwen3": Kind(llama(Qwen3Config), {"eos_token": "<|im_end|>", "pad_token": END},
                  added=("<|im_start|>",), ends=("<|im_end|>", END), template=THINKING,
                  spare_rows=9),
    "llama3.2": Kind(llama(LlamaConfig),
                     {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
                     added=("<|end_of_text|>", "<|eom_id|>", "<|start_header_id|>",
                            "<|end_header_id|>"),
                     ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"), template=LLAMA3,
                     adds_bos=True),
    "smollm2": Kind(llama(LlamaConfig),
                    {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
                     "pad_token": "<|im_end|>"}, template=CHATML),
}  # fmt: skip
# Models with another architecture than the family's name says, and models with two embeddings.
OTHERS = {"gptj/760M": "gpt2", "gptj/1.5B": "gpt2", "gptj/2.7B": "gpt_neo"}
UNTIED = ("qwen2.5/7B", "qwen3/8B")


def records() -> dict[str, list[Record]]:
    """The splits of a small data set."""
    return generate_records(train=40, validation=8, test=8)


def write_data(folder: Path) -> None:
    """Write the splits as jsonl files, and a plain text."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in records().items():
        lines = [json.dumps({"instruction": x.instruction, "input": x.input,
                             "output": list(x.references)}) for x in rows]  # fmt: skip
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = "\n".join(x.instruction for x in records()["train"])
    (folder / "corpus.txt").write_text(text * 4 + "\n", encoding="utf-8")


def make_tokenizer(kind: Kind) -> PreTrainedTokenizerFast:
    """A small tokenizer with the special tokens of a kind."""
    trained = train_tokenizer((x.instruction for x in records()["train"]), 320)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained.backend_tokenizer, chat_template=kind.template, **kind.tokens
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(kind.added)})
    if kind.adds_bos:
        bos = kind.tokens["bos_token"], tokenizer.bos_token_id
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos[0]} $A", pair=f"{bos[0]} $A $B", special_tokens=[bos]
        )
    return tokenizer


def write_model(name: str, folder: Path) -> None:
    """Write the tiny model of a name of configs/family, such as `gpt2/120M`."""
    family, _, size = name.partition("/")
    kind = KINDS[OTHERS.get(name, family)]
    tokenizer = make_tokenizer(kind)
    sizes = sorted(x.stem for x in (FAMILIES / family).glob("[0-9]*.yaml"))
    is_largest = size == max(sizes, key=parameters_of)
    config = kind.shape(
        layers=4 if is_largest else 2,
        vocab_size=len(tokenizer) + kind.spare_rows + 4 * (is_largest and bool(kind.spare_rows)),
        tie_word_embeddings=kind.tied and name not in UNTIED,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_config(config)
    if kind.ends:
        model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(list(kind.ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def parameters_of(size: str) -> float:
    """The number of parameters of a size such as `120M` or `1.5B`."""
    return float(size[:-1]) * {"M": 1e6, "B": 1e9}[size[-1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "name", help="FAMILY/SIZE of configs/family, or `data` for a small data set"
    )
    parser.add_argument("folder", type=Path, help="where to write it")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    folder = arguments.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        written = Path(temporary) / folder.name
        if arguments.name == "data":
            write_data(written)
        else:
            write_model(arguments.name, written)
        # At once, because scripts that run at the same time use a folder as soon as it exists.
        try:
            written.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            print(f"{folder} exists already and is not changed")


if __name__ == "__main__":
    main()
