"""Writes the questions of a public data set as train.jsonl and test.jsonl for `minillm system2`.

    python scripts/system2/questions.py gsm8k FOLDER
    minillm system2 evaluate MODEL system2.path=FOLDER system2.program=chain_of_thought \
        system2.extractor=number

The data sets are those of arXiv 2407.06023: GSM8K, TriviaQA, and pairs of replies of OASST2. They
are read from the Hub, or from a folder of files with the same columns (`--source FOLDER`).
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from minillm.data.faults import RowError
from minillm.data.rows import Rows, file_rows, hub_rows
from minillm.errors import InputError
from minillm.system2.question import Question, write_questions

LANGUAGE = "en"  # of OASST2
Rowset = Iterable[dict]


def gsm8k(rows: Rowset) -> Iterator[Question]:
    """Columns `question` and `answer`. The number at the end of the solution is the answer."""
    for number, row in enumerate(rows, 1):
        yield Question(str(number), row["question"], (row["answer"],))


def trivia_qa(rows: Rowset) -> Iterator[Question]:
    """Columns `question`, `question_id` and `answer`, with `value` and its `aliases`."""
    for row in rows:
        answers = dict.fromkeys((row["answer"]["value"], *row["answer"]["aliases"]))
        yield Question(row["question_id"], row["question"], tuple(answers))


def oasst2(rows: Rowset) -> Iterator[Question]:
    """The best and the worst reply to a first prompt, in random order.

    Columns `message_id`, `parent_id`, `text`, `role`, `lang` and `rank`. A row is a message. People
    have ranked the replies to a prompt, and 0 is the best rank. Prompts without two ranks are left
    out.
    """
    prompts, replies = {}, defaultdict(list)
    for row in rows:
        if row["lang"] != LANGUAGE:
            continue
        if row["parent_id"] is None:
            prompts[row["message_id"]] = row["text"]
        elif row["role"] == "assistant" and row["rank"] is not None:
            replies[row["parent_id"]].append((row["rank"], row["text"]))
    for name, text in prompts.items():
        ranked = sorted(replies[name])
        if len(ranked) < 2 or ranked[0][0] == ranked[-1][0]:
            continue
        best, worst = ranked[0][1], ranked[-1][1]
        answer = Random(name).choice("AB")
        pair = (best, worst) if answer == "A" else (worst, best)
        yield Question(name, text, (answer,), candidates=pair)


@dataclass(frozen=True)
class Dataset:
    """A data set of the Hub.

    Attributes:
        path, subset: its name on the Hub.
        splits: its splits for training and for the test.
        questions: makes questions of its rows.
    """

    path: str
    subset: str | None
    splits: tuple[str, str]
    questions: Callable[[Rowset], Iterator[Question]]


DATASETS = {
    "gsm8k": Dataset("openai/gsm8k", "main", ("train", "test"), gsm8k),
    "trivia_qa": Dataset(
        "mandarjoshi/trivia_qa", "rc.nocontext", ("train", "validation"), trivia_qa
    ),
    "oasst2": Dataset("OpenAssistant/oasst2", None, ("train", "validation"), oasst2),
}


def read_rows(dataset: Dataset, split: str, source: Path | None) -> Rowset:
    """The rows of a split, from the Hub or from SOURCE/SPLIT.jsonl or .parquet.

    Raises:
        InputError: there are no such rows, or a row cannot be read.
    """
    for _, row in _located_rows(dataset, split, source):
        if isinstance(row, RowError):
            raise row
        yield row


def _located_rows(dataset: Dataset, split: str, source: Path | None) -> Rows:
    if source is None:
        return hub_rows(dataset.path, dataset.subset, split, split=split)
    for kind in ("jsonl", "parquet"):
        if (source / f"{split}.{kind}").is_file():
            return file_rows(source / f"{split}.{kind}", kind)
    raise InputError(
        f"{source} has neither {split}.jsonl nor {split}.parquet. Give another folder."
    )


def convert(name: str, output: Path, source: Path | None = None) -> dict[str, int]:
    """Write train.jsonl and test.jsonl; returns their numbers of questions.

    Raises:
        InputError: the rows cannot be read, lack a column, or give no question, or a file is there.
    """
    dataset, counts = DATASETS[name], {}
    for split, file in zip(dataset.splits, ("train", "test"), strict=True):
        path = output / f"{file}.jsonl"
        if path.exists():
            raise InputError(f"{path} exists. Give another folder, or delete the file.")
        try:
            questions = list(dataset.questions(read_rows(dataset, split, source)))
        except (KeyError, TypeError) as error:
            columns = " ".join(dataset.questions.__doc__.split("Columns ")[1].split(".")[0].split())
            raise InputError(
                f"a row of {source or dataset.path}, split {split}, is not a row of {name} "
                f"({type(error).__name__}: {error}). It needs the columns {columns}."
            ) from error
        if not questions:
            raise InputError(f"{source or dataset.path}, split {split}, gives no questions.")
        write_questions(path, questions)
        counts[file] = len(questions)
    return counts


def main() -> None:
    """Read the command line, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("output", type=Path, help="the folder for train.jsonl and test.jsonl")
    parser.add_argument("--source", type=Path, help="a folder of files, instead of the Hub")
    given = parser.parse_args()
    try:
        counts = convert(given.dataset, given.output, given.source)
    except InputError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    files = [f"{count} rows in {name}.jsonl" for name, count in counts.items()]
    print(f"{given.output}: {', '.join(files)}")


if __name__ == "__main__":
    main()
