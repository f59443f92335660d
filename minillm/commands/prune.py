"""`minillm prune`: makes a smaller student from a model, as a Hugging Face folder.

OUTPUT/              the model, its tokenizer and its generation config
OUTPUT/minillm.json  from which model it was made, what stayed, and how that was chosen
"""

import os
import random
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from minillm.commands.dry_run import print_lines
from minillm.commands.loading import encode_splits, max_length, read_records
from minillm.commands.model_folder import resolve
from minillm.config import Config, ModelConfig, PruningConfig
from minillm.data.encoding import Example
from minillm.data.tokenizers import load_tokenizer
from minillm.errors import InputError, WriteError, first_line, unknown_name
from minillm.evaluation.scoring import reference_batches, reference_means
from minillm.files import check_new_folder
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
from minillm.runs import provenance
from minillm.runtime import start_accelerator
from minillm.settings.overrides import parse_override
from minillm.settings.rules import check_rules
from minillm.teachers.local import LocalTeacher
from minillm.training.checkpoint import save_checkpoint
from minillm.training.files import WRITE_ERRORS

BATCH = 8  # sequences per forward pass


def prune_model(model: str, output: str, words: Sequence[str]) -> None:
    """Write a smaller model to a new folder.

    Args:
        model: the folder of a run, the folder of a model, or a Hub name.
        output: the new folder.
        words: settings `key=value`, those of `PruningConfig` without section.

    Raises:
        InputError: an input is wrong, or the model cannot be pruned in this way.
        WriteError: the folder could not be written.
    """
    settings, overrides = split_settings(words)
    # No teacher is needed, and the folder of the run's teacher may no longer exist.
    config, path, _ = resolve(model, ["teacher.path=null", *overrides])
    check_new_folder(Path(output), output)
    check_one_process()
    source = ModelConfig(path=config.student.path, dtype="auto")
    tokenizer = load_tokenizer(config.student.tokenizer or source.path)
    attention = config.runtime.attn_implementation
    check_numbers(outline(source, tokenizer, 0, attention).module, settings)
    examples = read_examples(config, settings, tokenizer)
    device = start_accelerator(config).device
    original = load_model(source, tokenizer, attention)
    check_finite(original)
    if examples:
        check_length(original.module.config, source.path, max_length(config))
    check_model(original)
    original = original.to(device)
    original.module.eval()
    kept = choose(
        original, settings, reference_batches(examples.get("train", []), BATCH, original.pad_id)
    )
    smaller = replace(original, module=pruned(original.module, kept))
    check_pruned(original, smaller, kept)
    check_model(smaller)
    comparison = compare(original, smaller, examples.get("validation"))
    print_lines(lines(original, smaller, kept, comparison) | {"written": output})
    record = {
        "original": {"path": str(path.resolve()) if path.is_dir() else model,
                     "weights_checksum": weights_checksum(source.path)},
        "parameters": {"original": original.parameters, "pruned": smaller.parameters},
        "kept": kept_parts(kept),
        "settings": asdict(settings),
        "seed": config.runtime.seed,
        "data": asdict(config.data) if examples else None,
        "inputs": {split: len(rows) for split, rows in examples.items()},
        "comparison": comparison,
        **provenance(),
    }  # fmt: skip
    save(smaller, Path(output), record)


def split_settings(words: Sequence[str]) -> tuple[PruningConfig, list[str]]:
    """The settings of this command, and the settings of data and runtime.

    Raises:
        InputError: a setting is unknown or has no effect here, or its value is not allowed.
    """
    names = [field.name for field in fields(PruningConfig)]
    values, others = {}, []
    for word in words:
        key = word.partition("=")[0]
        if key in names:
            values[key] = parse_override(word, {}).value
        elif (
            key.partition(".")[0] in ("data", "runtime", "experiment") or key == "student.tokenizer"
        ):
            others.append(word)
        else:
            allowed = [*names, "data", "data.KEY", "runtime", "runtime.KEY", "experiment",
                       "student.tokenizer"]  # fmt: skip
            raise unknown_name("setting of minillm prune", key, allowed)
    try:
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(PruningConfig), values))
    except OmegaConfBaseException as error:
        raise InputError(f"{first_line(error)}. docs/pruning.md lists the settings.") from error
    check_rules(settings)
    _check_together(settings)
    return settings, others


def _check_together(settings: PruningConfig) -> None:
    """Refuse settings that contradict each other, or that keep everything."""
    if settings.keep and (settings.layers or settings.by != "even"):
        other = f"layers={settings.layers}" if settings.layers else f"by={settings.by}"
        raise InputError(
            f"keep={settings.keep} names the layers that stay, so {other} has no effect. Leave one "
            f"of them out."
        )
    if settings.by != "even" and not settings.layers:
        raise InputError(
            f"by={settings.by} chooses layers, but no number of layers is given. Add layers=NUMBER."
        )
    if not (
        settings.layers or settings.keep or settings.ffn or settings.heads or settings.kv_heads
    ):
        raise InputError(
            "nothing to prune is given. Add layers=NUMBER, keep=[1,2,...], ffn=NUMBER, "
            "heads=NUMBER or kv_heads=NUMBER."
        )
    if settings.reads_data and not settings.inputs:
        raise InputError(
            "inputs=0 is not allowed here: the choice of hidden units and heads, and of layers "
            "with by=angle or by=block, reads data. Set inputs to at least 1."
        )


def check_one_process() -> None:
    """Refuse a launcher."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("minillm prune runs in one process. Start it without a launcher.")


def read_examples(config: Config, settings: PruningConfig, tokenizer) -> dict[str, list[Example]]:
    """Random inputs of the training and validation splits; no split if no data are named.

    Raises:
        InputError: no data are named, although the choice reads them; or they cannot be read.
    """
    if not settings.inputs or (config.data.kind is None and not settings.reads_data):
        return {}
    splits = ["train", "validation"] if settings.reads_data else ["validation"]
    encoded = encode_splits(read_records(config, splits), tokenizer, config)
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


def save(model: LanguageModel, folder: Path, record: dict[str, Any]) -> None:
    """Write the model, its tokenizer and the record. The folder is complete, or absent.

    Raises:
        WriteError: the folder could not be written.
    """
    try:
        save_checkpoint(model, folder, record)
    except WRITE_ERRORS as error:
        raise WriteError(
            f"{folder} could not be written: {first_line(error)}. Remove the cause, or give "
            f"another folder."
        ) from error
