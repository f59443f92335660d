"""`minillm data`: shows a data set as training reads it, and exports it as jsonl."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from minillm.commands.loading import (
    encode_splits,
    make_tokenizer,
    read_records,
    seen_in_training,
)
from minillm.config import Config
from minillm.data.encoding import Encoded
from minillm.data.loaders import splits_of
from minillm.data.records import Record, count_seen
from minillm.files import check_new_folder, json_lines, write_results


def show_data(config: Config, export: str | None) -> None:
    """Print size and token lengths of each split and one example; export the splits if asked.

    Raises:
        InputError: an input is wrong, or the folder `export` is not empty or cannot be written.
        WriteError: the splits could not be written. Then none of the files is written.
    """
    if export:
        check_new_folder(Path(export), f"--export {export}")
    records = read_records(config, splits_of(config.data))
    if export:
        write_records(records, Path(export))
    tokenizer = make_tokenizer(config, records.get("train", []))
    print(f"tokenizer: {len(tokenizer)} tokens")
    for split, encoded in encode_splits(records, tokenizer, config).items():
        print(f"\n{split}: {encoded.summary(config.data)}\n{lengths(encoded)}")
        if split != "train" and "train" in records:
            seen = count_seen(records[split], records["train"])
            print(seen_in_training(split, seen, len(records[split])))
    example = encoded.examples[0]
    print(f"\nfirst of {split}, as a model reads it:\n{example.prompt}", end="")
    print("\n".join(f"=> {reference}" for reference in example.references))


def lengths(encoded: Encoded) -> str:
    """Token lengths of prompts and responses, in words."""
    prompts = [len(example.prompt_ids) for example in encoded.examples]
    responses = [len(ids) for example in encoded.examples for ids in example.response_ids]

    def summary(values: list[int]) -> str:
        return f"mean {np.mean(values):.1f}, 99% {np.percentile(values, 99):.0f}, max {max(values)}"

    return f"prompt tokens: {summary(prompts)}\nresponse tokens: {summary(responses)}"


def write_records(records: dict[str, list[Record]], folder: Path) -> None:
    """Write one jsonl file per split, which `data.kind=jsonl` can read."""
    contents = {folder / f"{split}.jsonl": jsonl(rows) for split, rows in records.items()}
    write_results(contents)
    print(f"written: {', '.join(map(str, contents))}")


def jsonl(records: Iterable[Record]) -> bytes:
    """Records as the content of a jsonl file, which `data.kind=jsonl` can read."""
    return json_lines(map(_row, records)).encode()


def _row(record: Record) -> dict[str, Any]:
    """A record as a row of jsonl; a conversation ends with the user's message."""
    row = {"topic": record.topic, "instruction": record.instruction, "input": record.input}
    if record.messages:
        messages = [message._asdict() for message in record.messages]
        row = {"topic": record.topic, "messages": messages}
    row["output"] = list(record.references)
    names = {"prompt": record.prompt or record.unused_prompt,
             "teacher_prompt": record.teacher_prompt, "id": record.id}  # fmt: skip
    return row | {name: value for name, value in names.items() if value}
