"""The text of `minillm plan`: rows of names and values, and the tables of memory."""

from collections.abc import Mapping, Sequence

from minillm.commands.data import lengths
from minillm.commands.measure import Seconds
from minillm.config import MiniLLMConfig
from minillm.data.encoding import Encoded
from minillm.models.language_model import LanguageModel
from minillm.planning.memory import Memory, total
from minillm.planning.speed import Throughput
from minillm.planning.work import TeacherPasses, Work
from minillm.progress import duration
from minillm.training.setup import Setup

Rows = list[tuple[str, str]]

PHASES = {
    "held": "held all the time",
    "step": "a training step adds",
    "update": "an update of the weights adds",
    "collection": "sampling for the training adds",
    "validation": "a validation adds",
}


def print_section(title: str, rows: Rows) -> None:
    """Print rows below a title, with aligned values. An empty name continues the row above."""
    width = max(len(name) for name, _ in rows)
    print(f"\n{title}")
    for name, text in rows:
        print(f"  {name:<{width}}  {text}".rstrip())


def data_rows(setup: Setup, data: Mapping[str, Encoded]) -> Rows:
    """Sizes and lengths of the splits, what is dropped or cut, and the vocabularies."""
    rows = []
    for split, encoded in data.items():
        rows += [
            (split, encoded.summary(setup.config.data)),
            *(("", x) for x in lengths(encoded).splitlines()),
        ]
    student, models = setup.student, setup.teacher.models if setup.teacher else ()
    text = f"{student.vocab_size:,} tokens; output rows: student {_output_rows(student):,}"
    rows.append(("tokenizer", text + "".join(f", teacher {_output_rows(x):,}" for x in models)))
    if models:
        same = "the student's" if setup.shared_tokenizer else "another than the student's"
        rows.append(("teacher's tokenizer", same))
    return rows


def work_rows(setup: Setup, work: Work, processes: int) -> Rows:
    """Steps, collections, tokens, validations, and passes of the teacher on one process."""
    method, training = setup.config.method, setup.config.training
    passes_over_data = work.steps * work.batch_size / work.epoch
    rows = [
        ("steps", f"{work.steps:,} of {work.batch_size} sequences, {passes_over_data:.3g} passes "
         f"over {work.epoch:,} sequences"),
        ("tokens of the loss", f"{work.tokens(work.response_length):,.0f} per step if responses "
         f"are as long as in the data, at most {work.tokens(work.response_limit):,.0f}"),
    ]  # fmt: skip
    if training.seconds is not None:
        rows.insert(1, ("", f"fewer if training.seconds={training.seconds:g} have passed before"))
    if isinstance(method, MiniLLMConfig):
        rows.append(("collections", f"{work.collections:,} of {method.rollouts_per_collection} "
                     f"responses, each for {work.steps_per_collection} steps"))  # fmt: skip
    if work.sampled:
        tokens = work.sampled * setup.config.data.max_response_length
        rows.append(("sampled", f"{work.sampled:,} responses of at most {tokens:,} tokens"))
    rows.append(("validations", f"{work.validations:,}, every {training.evaluate_every} steps"))
    passes = TeacherPasses.of(setup, work, processes)
    counts = {"before the training": passes.before, "per collection": passes.collection,
              "per step": passes.step}  # fmt: skip
    text = ", ".join(f"{count:,} {when}" for when, count in counts.items() if count)
    if text:
        rows.append(("teacher's passes", f"{text}, at most, on each of {processes} process(es)"))
    return rows


def throughput_rows(work: Work, throughput: Throughput) -> Rows:
    """How long training and validations take at a throughput."""
    speed, length = throughput.tokens_per_second, throughput.response_length
    origin = "that run" if length else "the data"
    length = length or work.response_length
    seconds = work.steps * work.tokens(length) / speed
    longest = work.steps * work.tokens(work.response_limit) / speed
    text = f"{duration(seconds)} at {speed:,.0f} tokens/s"
    if work.sampled:
        text += f", if responses have {length:.1f} tokens as in {origin}; at most "
        text += duration(longest)
    each = throughput.validation_seconds
    included = "not included" if each is None else duration(work.validations * each)
    return [("training", text), ("validations", included)]


def measured_rows(work: Work, seconds: Seconds, device: str) -> Rows:
    """How long the parts of a training take, from measured seconds."""
    rows = [("measured on", device)]
    if seconds.before:
        rows.append(("teacher's responses", f"{duration(seconds.before)}, before the first step"))
    training = work.collections * seconds.collection + work.steps * seconds.step
    speed = work.steps * seconds.tokens / training
    parts = [f"{work.steps:,} steps of {seconds.step:.3g} s"]
    if work.steps_per_collection > 1:
        parts.append(f"{work.collections:,} collections of {seconds.collection:.3g} s")
    validations = f"{work.validations:,} of {seconds.validation:.3g} s"
    return [
        *rows,
        ("training", f"{duration(training)}: {', '.join(parts)}; {speed:,.0f} tokens/s"),
        ("validations", f"{duration(work.validations * seconds.validation)}: {validations}"),
    ]


def memory_table(memories: Mapping[str, Memory]) -> str:
    """The memory of a process, one column per backend."""
    peaks = [memory.peak for memory in memories.values()]
    unit, size, digits = ("GB", 1e9, 2) if max(peaks) >= 1e10 else ("MB", 1e6, 1)
    table = [(unit, list(memories))]

    def add(name: str, values: Sequence[float]) -> None:
        if any(values):
            cells = [f"{value / size:,.{digits}f}" if value else "." for value in values]
            table.append((name, cells))

    for phase, title in PHASES.items():
        parts = [getattr(memory, phase) for memory in memories.values()]
        add(title, [total(part) for part in parts])
        for name in parts[0]:
            add(f"  {name}", [part[name] for part in parts])
    add("largest", peaks)
    add("host memory", [total(memory.host) for memory in memories.values()])
    add("host memory, loading", [total(memory.loading) for memory in memories.values()])
    return "\n".join(_aligned(table))


def _aligned(table: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    first = max(len(name) for name, _ in table)
    widths = [max(map(len, column)) for column in zip(*(row for _, row in table), strict=True)]
    lines = []
    for name, values in table:
        cells = (f"{value:>{width}}" for value, width in zip(values, widths, strict=True))
        lines.append(f"  {name:<{first}}  {'  '.join(cells)}")
    return lines


def _output_rows(model: LanguageModel) -> int:
    return model.module.get_output_embeddings().weight.shape[0]
