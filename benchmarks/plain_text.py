"""Plain text for L_PT: speed of its preparation, its size on the disk, and memory of a process.

    python -m benchmarks.plain_text gpt2 --megabytes 40
    python -m benchmarks.plain_text gpt2 --megabytes 50 --workers 1 2 1 2

The text is made of prompts and responses of the embedded data, in random order. The speed is that
of one core: tokens per second of processor time. `--workers` measures the speed of
`minillm data prepare` with these numbers of processes, one after the other, in seconds of a clock.
"""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from benchmarks.measure import process_status
from minillm.config import Config, DataConfig, MiniLLMConfig
from minillm.data.blocks import prepare
from minillm.data.documents import CHUNK
from minillm.data.embedded import generate_records
from minillm.data.plain_text import PlainText, block_file, load_plain_text
from minillm.data.templates import prompt_text
from minillm.data.tokenizers import load_tokenizer
from minillm.files import read_json
from minillm.sources.plain_text import BlockPairs


def write_text(file: Path, megabytes: int, sentences: int = 40) -> None:
    """Documents of `sentences` prompts with a response, one per line."""
    draw = random.Random(0)
    records = generate_records()["train"]
    texts = [f"{prompt_text(record, 'plain', None)}{record.references[0]}" for record in records]
    with file.open("w", encoding="utf-8") as lines:
        while lines.tell() < megabytes * 10**6:
            document = "\n".join(draw.choices(texts, k=sentences))
            lines.write(document.replace("\n", "<@x(x!>") + "\n")


def read(plain_text: PlainText) -> None:
    """Read every block once, as training does."""
    pairs = BlockPairs(plain_text)
    for i in range(len(pairs)):
        pairs[i]


def measure_workers(
    config: Config, tokenizer: PreTrainedTokenizerBase, numbers: Iterable[int]
) -> None:
    """Print the speed of a preparation with each number of processes, after the first chunk.

    So the seconds in which the processes start are not counted. On a busy machine, only the
    processor time is comparable: the share of the main process limits the number of processes that
    are of use.
    """
    for workers in numbers:
        blocks = block_file(config, tokenizer)
        work = prepare(blocks, tokenizer, workers=workers)
        next(work)  # the lock
        next(work)  # the first chunk
        start, own_start, before = time.perf_counter(), time.process_time(), seconds_of_children()
        for _ in work:
            pass
        seconds, own = time.perf_counter() - start, time.process_time() - own_start
        all_seconds = own + seconds_of_children() - before
        tokens = read_json(blocks.record)["tokens"] * (1 - CHUNK / blocks.version[0])
        blocks.path.unlink()
        print(f"{workers} worker(s): {tokens / seconds:,.0f} tokens per second; "
              f"{tokens / all_seconds:,.0f} per second of processor time (main process "
              f"{own / all_seconds:.1%})", flush=True)  # fmt: skip


def seconds_of_children() -> float:
    """Processor time of the processes that this process has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks.plain_text", description=__doc__.split("\n", 1)[0])
    parser.add_argument("tokenizer", help="folder or Hub name")
    parser.add_argument("--megabytes", type=int, default=40)
    parser.add_argument("--workers", nargs="+", type=int, default=[], metavar="N")
    arguments = parser.parse_args()
    tokenizer = load_tokenizer(arguments.tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        write_text(text, arguments.megabytes)
        data, method = DataConfig(plain_text=str(text)), MiniLLMConfig(lm_coef=1.0)
        config = Config(data=data, method=method)
        if arguments.workers:
            measure_workers(config, tokenizer, arguments.workers)
            return
        start = time.process_time()
        plain_text = load_plain_text(config, tokenizer)
        seconds, tokens = time.process_time() - start, plain_text.ids.size
        read(plain_text)  # the second reading then allocates nothing but what it keeps
        before = process_status("RssAnon")  # without memory-mapped files, which are shared
        plain_text = load_plain_text(config, tokenizer)
        read(plain_text)
        kept = process_status("RssAnon") - before
        print(f"{tokens:,} tokens of {arguments.megabytes} MB of text")
        print(f"preparation: {tokens / seconds:,.0f} tokens per second and core")
        print(f"disk: {Path(plain_text.ids.filename).stat().st_size / tokens:.4f} bytes per token")
        print(f"private memory of a process: {kept / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
