"""Writes the questions of a public data set as train.jsonl and test.jsonl for `minillm system2`.

    python scripts/system2/questions.py gsm8k FOLDER
    minillm system2 evaluate MODEL system2.path=FOLDER system2.program=chain_of_thought \
        system2.extractor=number system2.test_questions=1319

The data sets are GSM8K, TriviaQA, and pairs of replies of OASST2, which arXiv 2407.06023 also uses.
There, SycophancyEval has added the opinion of a user to the questions of TriviaQA. Here, they have
no such opinion, so the program `attention` only rewrites them.

The rows are read from the Hub, or from a folder of files with the same columns (`--source FOLDER`).
Each split is one jsonl or parquet file (train.jsonl, train.parquet), or all of its parquet files
with the names of the Hub (train-00000-of-00001.parquet). Rows without a question or an answer are
left out, and their number is printed.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from minillm.data.faults import RowError
from minillm.data.rows import Rows, file_rows, hub_rows
from minillm.errors import InputError, WriteError, first_line
from minillm.files import check_writable, write_results
from minillm.system2.question import Question, is_readable, refuse_array, to_jsonl

LANGUAGE = "en"  # of OASST2
Rowset = Iterable[dict]
Questions = Iterator[Question | None]  # None for each row that is left out


def gsm8k(rows: Rowset) -> Questions:
    """The number at the end of the solution is the answer."""
    for number, row in enumerate(rows, 1):
        if _has_texts(row, "question", "answer"):
            yield Question(str(number), row["question"], (row["answer"],))
        else:
            yield None


def trivia_qa(rows: Rowset) -> Questions:
    """The value and its aliases are the answers. Rows with the same id are read once.

    `rc.nocontext` has a question twice if it has sources in the web and in Wikipedia.
    """
    seen = set()
    for row in rows:
        answer = row.get("answer")
        aliases = (answer.get("aliases") or []) if isinstance(answer, dict) else None
        has_answer = isinstance(aliases, list) and _has_texts(answer, "value")
        if not has_answer or not _has_texts(row, "question_id", "question"):
            yield None
        elif row["question_id"] not in seen:
            seen.add(row["question_id"])
            answers = dict.fromkeys(filter(is_readable, (answer["value"], *aliases)))
            yield Question(row["question_id"], row["question"], tuple(answers))


def oasst2(rows: Rowset) -> Questions:
    """The best and the worst reply to a first prompt, in random order.

    A row is a message. People have ranked the replies to a prompt, and 0 is the best rank. Prompts
    without two ranks give no question.
    """
    prompts, replies = {}, defaultdict(list)
    for row in rows:
        parent, rank = row.get("parent_id"), row.get("rank")
        is_prompt = parent is None
        is_reply = row.get("role") == "assistant" and rank is not None
        if row.get("lang") != LANGUAGE or not (is_prompt or is_reply):
            continue
        if is_prompt and _has_texts(row, "message_id", "text"):
            prompts[row["message_id"]] = row["text"]
        elif _has_texts(row, "parent_id", "text") and isinstance(rank, int | float):
            replies[parent].append((rank, row["text"]))
        else:
            yield None
    for name, text in prompts.items():
        ranked = sorted(replies[name])
        if len(ranked) < 2 or ranked[0][0] == ranked[-1][0]:
            continue
        best, worst = ranked[0][1], ranked[-1][1]
        answer = Random(name).choice("AB")
        pair = (best, worst) if answer == "A" else (worst, best)
        yield Question(name, text, (answer,), candidates=pair) if best != worst else None


def _has_texts(row: dict, *columns: str) -> bool:
    return all(is_readable(row.get(name)) for name in columns)


@dataclass(frozen=True)
class Dataset:
    """A data set of the Hub.

    Attributes:
        path, subset: its name on the Hub.
        splits: its splits for training and for the test.
        columns: the columns that its rows need, for messages.
        questions: makes questions of its rows.
    """

    path: str
    subset: str | None
    splits: tuple[str, str]
    columns: str
    questions: Callable[[Rowset], Questions]


DATASETS = {
    "gsm8k": Dataset("openai/gsm8k", "main", ("train", "test"), "`question` and `answer`", gsm8k),
    "trivia_qa": Dataset(
        "mandarjoshi/trivia_qa",
        "rc.nocontext",
        ("train", "validation"),
        "`question`, `question_id` and `answer` with `value` and a list of `aliases`",
        trivia_qa,
    ),
    "oasst2": Dataset(
        "OpenAssistant/oasst2",
        None,
        ("train", "validation"),
        "`message_id`, `parent_id`, `text`, `role`, `lang` and `rank`",
        oasst2,
    ),
}


def read_rows(dataset: Dataset, split: str, source: Path | None) -> Rowset:
    """The rows of a split, from the Hub or from the files of a folder.

    Raises:
        InputError: there are no such rows, or a row cannot be read.
    """
    for _, row in _from_hub(dataset, split) if source is None else _from_folder(source, split):
        if isinstance(row, RowError):
            raise row
        yield row


def _from_hub(dataset: Dataset, split: str) -> Rows:
    try:
        yield from hub_rows(dataset.path, dataset.subset, split, split=split)
    except InputError as error:
        raise InputError(
            f"the split {split!r} of {dataset.path} could not be loaded from the Hub: "
            f"{first_line(error.__cause__ or error)}. Check the network, or give --source FOLDER "
            f"with files that were downloaded elsewhere."
        ) from error


def _from_folder(source: Path, split: str) -> Rows:
    jsonl, parquet = source / f"{split}.jsonl", source / f"{split}.parquet"
    if jsonl.is_file():
        refuse_array(jsonl)
        yield from file_rows(jsonl, "jsonl")
        return
    files = [parquet] if parquet.is_file() else sorted(source.glob(f"{split}-*.parquet"))
    if not files:
        raise InputError(
            f"{source} has no {split}.jsonl, no {split}.parquet and no {split}-*.parquet. Give "
            f"another folder."
        )
    for file in files:
        yield from file_rows(file, "parquet")


def convert(name: str, output: Path, source: Path | None = None) -> dict[str, tuple[int, int]]:
    """Write train.jsonl and test.jsonl, or neither of them.

    Returns:
        For `train` and `test`, the number of questions and the number of rows that are left out.

    Raises:
        InputError: the rows cannot be read or give no question, a file is there already, or the
            folder cannot be written.
        WriteError: writing the files has failed, such as on a full disk.
    """
    check_writable(output, str(output), "Give another folder.")
    files = {file: output / f"{file}.jsonl" for file in ("train", "test")}
    for path in files.values():
        if path.exists():
            raise InputError(f"{path} exists. Give another folder, or delete the file.")
    contents, counts = {}, {}
    for split, (file, path) in zip(DATASETS[name].splits, files.items(), strict=True):
        questions, left_out = _questions(DATASETS[name], split, source)
        contents[path] = to_jsonl(questions).encode()
        counts[file] = (len(questions), left_out)
    write_results(contents)
    return counts


def _questions(dataset: Dataset, split: str, source: Path | None) -> tuple[list[Question], int]:
    """The questions of a split, and the number of rows that are left out."""
    converted = list(dataset.questions(read_rows(dataset, split, source)))
    questions = [question for question in converted if question is not None]
    left_out = len(converted) - len(questions)
    if not questions:
        raise InputError(
            f"{source or dataset.path}, split {split}, gives no questions ({left_out} rows without "
            f"question or answer). A row needs the columns {dataset.columns}."
        )
    return questions, left_out


def main() -> None:
    """Read the command line, and write the files."""
    parser = argparse.ArgumentParser(
        description="Writes the questions of a public data set for `minillm system2`."
    )
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("output", type=Path, help="the folder for train.jsonl and test.jsonl")
    parser.add_argument(
        "--source",
        type=Path,
        metavar="FOLDER",
        help="a folder of downloaded files, instead of the Hub: SPLIT.jsonl, SPLIT.parquet, or "
        "SPLIT-*.parquet as the Hub names them, such as train-00000-of-00001.parquet",
    )
    given = parser.parse_args()
    try:
        counts = convert(given.dataset, given.output, given.source)
    except (InputError, WriteError) as error:
        parser.exit(error.status, f"{parser.prog}: {error}\n")
    files = [f"{questions} rows in {name}.jsonl" for name, (questions, _) in counts.items()]
    left_out = sum(rows for _, rows in counts.values())
    end = f"; {left_out} rows left out: no question or answer" if left_out else ""
    print(f"{given.output}: {', '.join(files)}{end}")


if __name__ == "__main__":
    main()
