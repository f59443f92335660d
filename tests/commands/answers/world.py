"""The folder in which the cases run: small data, a run, and broken files."""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertLMHeadModel

from tests.commands.answers import formats
from tests.conftest import rows, write_jsonl


def make_world(folder: Path, teacher: Path) -> None:
    """Fill a folder: `my_data` (30 training and 10 test inputs), the run `runs/teacher`, models.

    The folder `a=b` is empty. The folder `formats` has the files of `formats.py`.
    """
    (folder / "my_data").mkdir()
    write_jsonl(folder / "my_data/train.jsonl", rows(30))
    write_jsonl(folder / "my_data/test.jsonl", rows(40)[30:])
    (folder / "a=b").mkdir()
    (folder / "cycle.yaml").write_text("a: &a [*a]\n")
    shutil.copytree(teacher, folder / "runs/teacher")
    formats.write_files(folder / "formats")
    add_outputs(folder)
    add_models(folder)


def add_outputs(folder: Path) -> None:
    """`link` to the run, a run `copy` with a cut result, models that are cut off, and more."""
    (folder / "link").symlink_to("runs/teacher")
    shutil.copytree(folder / "runs/teacher", folder / "copy")
    (folder / "copy/evaluation").mkdir()
    (folder / "copy/evaluation/jsonl.json").write_text("{")
    shutil.copytree(folder / "copy/best", folder / "damaged")
    weights = folder / "damaged/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (folder / "runs/teacher/logs/responses.jsonl").write_text("{}\n")
    shutil.copytree(folder / "my_data", folder / "runs/teacher/logs/data")
    shutil.copytree(folder / "copy/best", folder / "torn")
    (folder / "torn/minillm.json").write_text("{")


def add_models(folder: Path) -> None:
    """Models without minillm.json, with data that are gone, with NaN, not causal; adapters."""
    for name in ("foreign", "moved", "nan"):
        shutil.copytree(folder / "runs/teacher/best", folder / name)
    (folder / "foreign/minillm.json").unlink()
    details = json.loads((folder / "moved/minillm.json").read_text())
    details["config"]["data"]["path"] = str(folder / "old_data")
    (folder / "moved/minillm.json").write_text(json.dumps(details))
    weights = load_file(folder / "nan/model.safetensors")
    weights["transformer.ln_f.weight"][3] = float("nan")
    save_file(weights, folder / "nan/model.safetensors", {"format": "pt"})
    for name, base in (("no_base", "./gone"), ("no_weights", "./foreign")):
        (folder / name).mkdir()
        config = {"peft_type": "LORA", "base_model_name_or_path": base}
        (folder / name / "adapter_config.json").write_text(json.dumps(config))
    tokenizer = AutoTokenizer.from_pretrained(folder / "foreign")
    for name, is_decoder in (("bert", False), ("bert_decoder", True)):
        tokenizer.save_pretrained(folder / name)
        shape = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1,
                           num_attention_heads=2, intermediate_size=32,
                           is_decoder=is_decoder)  # fmt: skip
        BertLMHeadModel(shape).save_pretrained(folder / name)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder, by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }
