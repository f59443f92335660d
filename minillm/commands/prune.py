"""`minillm prune`: makes a smaller student from a model, as a Hugging Face folder.

OUTPUT/              the model, its tokenizer and its generation config
OUTPUT/minillm.json  from which model it was made, what stayed, and how that was chosen
"""

import os
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from minillm.arguments import settings_of_pruning
from minillm.commands.dry_run import print_lines
from minillm.commands.loading import encode_splits, log_splits, max_length, read_records
from minillm.commands.model_folder import resolve
from minillm.config import Config, ModelConfig, PruningConfig
from minillm.data.encoding import Example
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError, WriteError, first_line, unknown_name
from minillm.evaluation.scoring import reference_batches, reference_means
from minillm.files import aside_of, check_new_folder, check_writable
from minillm.models.adapters import has_adapter
from minillm.models.check import check_model
from minillm.models.checksum import weights_checksum
from minillm.models.language_model import LanguageModel, check_finite, load_model
from minillm.models.limits import check_length
from minillm.models.size import outline
from minillm.objectives.divergences import ForwardKL
from minillm.objectives.terms import DivergenceTerm, TokenLogProb
from minillm.pruning.check import check_pruned
from minillm.pruning.choose import check_numbers, choose
from minillm.pruning.cut import Kept, pruned
from minillm.pruning.settings import pruning_settings
from minillm.runs import provenance
from minillm.runtime import start_accelerator
from minillm.teachers.local import LocalTeacher
from minillm.training.checkpoint import save_checkpoint
from minillm.training.files import WRITE_ERRORS

# The sections and groups of which settings have an effect.
SECTIONS = ("data", "runtime", "experiment")
STUDENT = ("student.tokenizer", "student.revision")
BATCH = 8  # sequences per forward pass


def prune_model(model: str, output: str, words: Sequence[str], overrides: Sequence[str]) -> None:
    """Write a smaller model to a new folder.

    Args:
        model: the folder of a run, the folder of a model, or a Hub name.
        output: the new folder.
        words: `key=value` for settings of `PruningConfig`.
        overrides: settings of data and runtime.

    Raises:
        InputError: an input is wrong, or the model cannot be pruned in this way.
        WriteError: the folder could not be written.
    """
    check_have_effect(overrides)
    settings = pruning_settings(words)
    # No teacher is needed, and the folder of the run's teacher may no longer exist.
    config, path, _ = resolve(model, ["teacher.path=null", *overrides])
    folder = new_model_folder(output)
    check_one_process("prune")
    source = replace(config.student, dtype="auto")
    tokenizer = tokenizer_of(source)
    attention = config.runtime.attn_implementation
    form = outline(source, tokenizer, 0, attention).module
    check_numbers(form, settings)
    examples = read_examples(config, settings, tokenizer)
    if examples:
        check_length(form.config, source.path, max_length(config))
    original = load_original(config, source, tokenizer)
    batches = reference_batches(examples.get("train", []), BATCH, original.pad_id)
    kept = choose(original, settings, batches)
    smaller = replace(original, module=pruned(original.module, kept, attention))
    check_pruned(original, smaller, kept)
    check_model(smaller)
    comparison = compare(original, smaller, examples.get("validation"))
    record = {
        "original": str(path.resolve()) if path.is_dir() else model,
        "revision": source.revision,
        "weights_checksum": weights_checksum(source.path, source.revision),
        "parameters": {"original": original.parameters, "pruned": smaller.parameters},
        "kept": kept_parts(kept),
        "settings": asdict(settings),
        "seed": config.runtime.seed,
        "data": asdict(config.data) if examples else None,
        "inputs": {split: len(rows) for split, rows in examples.items()},
        "comparison": comparison,
        **provenance(),
    }
    save(smaller, folder, record)
    print_lines(lines(original, smaller, kept, comparison) | {"written": output})


def check_have_effect(overrides: Sequence[str]) -> None:
    """Refuse settings that this command does not read.

    Raises:
        InputError: the message names the nearest setting.
    """
    for word in overrides:
        key = word.partition("=")[0]
        if key.partition(".")[0] not in SECTIONS and key not in STUDENT:
            names = [*settings_of_pruning(), *SECTIONS, *STUDENT]
            raise unknown_name("setting of minillm prune", key, names)


def check_one_process(verb: str) -> None:
    """Refuse a launcher."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(f"minillm {verb} runs in one process. Start it without a launcher.")


def load_original(config: Config, source: ModelConfig, tokenizer) -> LanguageModel:
    """The model to prune, in its own precision, on the device of the settings.

    Raises:
        InputError: it cannot be loaded, has an adapter, its weights are not finite, or
            `check_model` refuses it.
    """
    device = start_accelerator(config).device
    model = load_model(source, tokenizer, config.runtime.attn_implementation).to(device)
    if has_adapter(model.module):
        raise InputError(
            f"{source.path} is an adapter, which cannot be pruned. Give the folder of a merged "
            f"model, such as best of a run with student.lora.saves=merged."
        )
    check_finite(model)
    check_model(model)
    return model


def read_examples(config: Config, settings: PruningConfig, tokenizer) -> dict[str, list[Example]]:
    """Random inputs of the training and validation splits; no split if no data are named.

    Raises:
        InputError: no data are named, although the choice reads them; or they cannot be read.
    """
    if not settings.inputs or (config.data.kind is None and not settings.reads_data):
        return {}
    splits = ["train", "validation"] if settings.reads_data else ["validation"]
    encoded = encode_splits(read_records(config, splits), tokenizer, config)
    log_splits(encoded, config)
    return {
        split: _sample(rows.examples, settings.inputs, config.runtime.seed)
        for split, rows in encoded.items()
    }


def _sample(examples: list[Example], count: int, seed: int) -> list[Example]:
    return random.Random(seed).sample(examples, min(count, len(examples)))


def compare(
    original: LanguageModel, smaller: LanguageModel, examples: list[Example] | None
) -> dict[str, float] | None:
    """The forward KL from the original, and the cross-entropies of both models, on references.

    All are in nats per token, before any training. None without examples.
    """
    if not examples:
        return None
    cross_entropy = {"log_probs": TokenLogProb()}
    terms = cross_entropy | {"forward_kl": DivergenceTerm(ForwardKL())}
    values = reference_means(smaller, examples, BATCH, terms, LocalTeacher(original))
    of_original = reference_means(original, examples, BATCH, cross_entropy)
    return {
        "forward_kl": values["forward_kl"],
        "cross_entropy": -values["log_probs"],
        "cross_entropy_of_original": -of_original["log_probs"],
    }


def kept_parts(kept: Kept) -> dict[str, Any]:
    """What stays, for the record: layers and heads by number from 1, and the number of units."""
    return {
        "layers": [i + 1 for i in kept.layers],
        "units_per_layer": kept.units and len(kept.units[0]),
        "heads": kept.heads and [(heads + 1).tolist() for heads, _ in kept.heads],
        "kv_heads": kept.heads and [(kv_heads + 1).tolist() for _, kv_heads in kept.heads],
    }


def lines(
    original: LanguageModel,
    smaller: LanguageModel,
    kept: Kept,
    comparison: dict[str, float] | None,
) -> dict[str, str]:
    """What the command has done, as a text by name."""
    rows = {
        "original": f"{original.description}, {original.parameters:,} parameters",
        "pruned": f"{smaller.description}, {smaller.parameters:,} parameters",
        "layers": " ".join(str(i + 1) for i in kept.layers),
    }
    if kept.units:
        rows["ffn"] = f"{len(kept.units[0])} hidden units per layer"
    if kept.heads:
        heads, kv_heads = kept.heads[0]
        rows["heads"] = f"{len(heads)} query heads and {len(kv_heads)} key-value heads per layer"
    if comparison:
        rows["forward KL"] = f"{comparison['forward_kl']:.3f} nats per token from the original"
        rows["loss"] = (
            f"{comparison['cross_entropy']:.3f} nats per token of the references, original "
            f"{comparison['cross_entropy_of_original']:.3f}"
        )
    return rows


def new_model_folder(output: str) -> Path:
    """The folder of a new model, which `save` writes beside it first. Nothing is created.

    Raises:
        InputError: the folder is the working folder or holds files, or it or the folder around it
            cannot be written.
    """
    folder = Path(output).resolve()
    if folder == Path.cwd():  # `save` would replace it by another one
        raise InputError(f"{output} is the working folder. Give the name of a new folder.")
    check_new_folder(Path(output), output)
    check_writable(folder.parent, output, "Give another folder.")
    return folder


def save(
    model: LanguageModel,
    folder: Path,
    record: dict[str, Any],
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write the model, its tokenizer, the record and `texts`. The folder is complete, or absent.

    Raises:
        WriteError: the folder could not be written.
    """
    try:
        save_checkpoint(model, folder, record, texts=texts)
    except WRITE_ERRORS as error:
        raise WriteError(
            f"{folder} could not be written: {first_line(error)}. Remove the cause, or give "
            f"another folder."
        ) from error
    finally:  # also after Ctrl-C
        shutil.rmtree(aside_of(folder), ignore_errors=True)
