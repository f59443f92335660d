"""The model card of an exported model: README.md with metadata for the Hugging Face Hub."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from huggingface_hub import ModelCardData

from minillm.evaluation.frontier import DIVERSITY, FrontierPoint
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.result import ROUGE_L, Result
from minillm.evaluation.score_table import score_text
from minillm.reporting.markdown import NOTHING, table

HISTORY_ROWS = 10  # of the table of validations


@dataclass(frozen=True)
class Split:
    """The size of a split, and the SHA-256 of its jsonl file of `minillm data --export`."""

    name: str
    inputs: int
    references: int
    sha256: str


@dataclass(frozen=True)
class Usage:
    """How a prompt is made.

    Attributes:
        template: its name, as in `data.template`; None if it is not known.
        prompt: an example, as the model reads it.
        instruction: what the user asks in the example.
        adds_special_tokens: whether the tokenizer adds tokens such as BOS.
        max_length: maximum tokens of a response in the training.
    """

    template: str | None
    prompt: str
    instruction: str
    adds_special_tokens: bool
    max_length: int


@dataclass(frozen=True)
class Card:
    """What the card says. Parts that are not known are None or empty, and left out.

    Attributes:
        name: of the folder or of the Hub repository.
        metadata: base_model, datasets, license and tags, for the Hub.
        model: architecture, parameters and precision, in words.
        origins: the steps that made the model, in words.
        method: its name, or None for a model that `minillm` has not trained.
        settings: sections of the settings.
        teachers: in words.
        data: name of the data, and where they are from.
        splits: the splits, as they are at the time of the export.
        results: the scores of the model, and of its teacher, by role.
        history: the validations of the run.
        provenance: of the run.
        usage: how a prompt is made.
    """

    name: str
    metadata: Mapping[str, Any]
    model: str
    usage: Usage
    origins: Sequence[str] = ()
    method: str | None = None
    settings: Mapping[str, Any] | None = None
    teachers: Sequence[str] = ()
    data: str | None = None
    splits: Sequence[Split] = ()
    results: Sequence[tuple[str, Result]] = ()
    history: Sequence[Mapping[str, float]] = ()
    provenance: Mapping[str, Any] | None = None


def card_text(card: Card) -> str:
    """The text of README.md."""
    metadata = ModelCardData(
        library_name="transformers", pipeline_tag="text-generation", **card.metadata
    )
    sections = {
        f"# {card.name}": _model(card),
        "## Use": _use(card),
        "## Training": _training(card),
        "## Data": _data(card),
        "## Scores": _scores(card),
        "## Validation during the training": _validations(card.history),
        "## Limits": _limits(card),
        "## How it was made": _made(card.provenance),
    }
    parts = [f"{heading}\n\n{text}" for heading, text in sections.items() if text]
    return f"---\n{metadata.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def _model(card: Card) -> str:
    lines = [f"A causal language model: {card.model}."]
    lines += [f"- {step}" for step in card.origins]
    return "\n".join(lines[:1] + [""] * bool(card.origins) + lines[1:])


def _use(card: Card) -> str:
    usage = card.usage
    if usage.template == "chat":
        prompt = (
            f'messages = [{{"role": "user", "content": {usage.instruction!r}}}]\n'
            f"prompt = tokenizer.apply_chat_template(\n"
            f"    messages, tokenize=False, add_generation_prompt=True\n)"
        )
        note = "The prompts have the chat template of the tokenizer."
    elif usage.template is None:
        prompt = f"prompt = {usage.prompt!r}"
        note = "It is not known how prompts were made in the training. The example is plain text."
    else:
        prompt = f"prompt = {usage.prompt!r}"
        note = (
            f"The prompts have the template `{usage.template}` of the training: change only the "
            f"instruction {usage.instruction!r} in it."
        )
    special = "" if usage.adds_special_tokens else ", add_special_tokens=False"
    code = f"""{note}

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

name = {card.name!r}  # or the folder
tokenizer = AutoTokenizer.from_pretrained(name)
model = AutoModelForCausalLM.from_pretrained(name)
{prompt}
inputs = tokenizer(prompt, return_tensors="pt"{special})
output = model.generate(**inputs, max_new_tokens={usage.max_length}, do_sample=False)
response = tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
print(response.strip())
```"""
    if usage.template != "chat":  # the code has the prompt itself
        return code
    return f"{code}\n\nThe example prompt, as the model reads it:\n\n```text\n{usage.prompt}\n```"


def _training(card: Card) -> str:
    if card.method is None:
        return ""
    lines = [f"Method: {card.method}, by [MiniLLM](https://arxiv.org/abs/2306.08543)'s codebase."]
    lines += [f"Teacher: {teacher}." for teacher in card.teachers]
    settings = yaml.safe_dump(_set(card.settings), sort_keys=False, allow_unicode=True).strip()
    return "\n\n".join(
        [*lines, f"<details><summary>Settings</summary>\n\n```yaml\n{settings}\n```\n\n</details>"]
    )


def _set(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are neither null nor empty, also in sections."""
    values = {key: _set(x) if isinstance(x, Mapping) else x for key, x in settings.items()}
    return {key: value for key, value in values.items() if value not in (None, [], {})}


def _data(card: Card) -> str:
    if card.data is None:
        return ""
    if not card.splits:
        return f"{card.data}. The data could not be read at the time of the export."
    rows = [[x.name, f"{x.inputs:,}", f"{x.references:,}", f"`{x.sha256}`"] for x in card.splits]
    counts = table(["split", "inputs", "references", "SHA-256"], rows, texts=1)
    return (
        f"{card.data}.\n\n{counts}\n\nThe checksum is that of the file that `minillm data "
        f"--export` writes. The splits are those at the time of the export."
    )


def _scores(card: Card) -> str:
    if not card.results:
        return f"No scores exist yet. `minillm evaluate {shlex.quote(card.name)}` makes them."
    texts = [f"**{role}**: {score_text(result, 'pipe')}" for role, result in card.results]
    note = (
        "The intervals are 95% bootstrap intervals over the inputs; means are over all sampling "
        "seeds."
    )
    return "\n\n".join([*texts, note])


def _validations(history: Sequence[Mapping[str, float]]) -> str:
    """A table of at most `HISTORY_ROWS` validations, evenly spaced, with the last one."""
    if not history:
        return ""
    step = -(-len(history) // HISTORY_ROWS)
    chosen = history[::-1][::step][::-1]
    names = [name for name in ("loss", ROUGE_L, "exact_match", "reverse_kl", "length")
             if any(point.get(name) is not None for point in chosen)]  # fmt: skip
    rows = [
        [f"{point['step']}", f"{point['seconds']:.0f}", *(_number(point, name) for name in names)]
        for point in chosen
    ]
    labels = [METRICS[name].label if name in METRICS else name for name in names]
    return table(["step", "seconds", *labels], rows, texts=0)


def _number(point: Mapping[str, float], name: str) -> str:
    value = point.get(name)
    form = METRICS[name].form if name in METRICS else ".3f"
    return NOTHING if value is None else f"{value:{form}}"


def _limits(card: Card) -> str:
    lines = ["The responses can be wrong, and nobody has checked that they are safe."]
    if card.results:
        lines.append("The scores say nothing about other tasks than those of the test data.")
    for role, result in card.results:
        if result.seen_in_training:
            lines.append(f"{result.seen_in_training} test inputs of {result.data} occur in the "
                         f"training data of the {role}.")  # fmt: skip
    lines += filter(None, (sharpening(result) for role, result in card.results if role == "model"))
    if "license" not in card.metadata:
        lines.append(f"No licence is stated here. {_licences(card)}")
    return "\n".join(f"- {line}" for line in lines)


def _licences(card: Card) -> str:
    """Which licences apply, as far as the origin is known."""
    if card.method:
        return "The licences of the origin, of the teacher and of the data apply."
    return f"The licence of the {'origin' if card.origins else 'model'} applies."


def sharpening(result: Result) -> str | None:
    """How the score depends on the temperature; None without scores at several temperatures."""
    points = [
        point
        for point in (result.frontier.points if result.frontier else ())
        if point.top_p == 1 and not point.is_greedy and point.values.get(ROUGE_L)
    ]
    if len(points) < 2:
        return None
    points = sorted(points, key=lambda point: point.temperature)
    return (
        f"Part of a high score at one temperature is sharpening, which a lower temperature gives "
        f"too: on {result.data}, ROUGE-L is {_at(points[0])}, and {_at(points[-1])}. Compare "
        f"models at equal diversity."
    )


def _at(point: FrontierPoint) -> str:
    return (
        f"{point.mean(ROUGE_L):.1f} at temperature {point.temperature:g} (diversity "
        f"{point.mean(DIVERSITY):.2f})"
    )


def _made(provenance: Mapping[str, Any] | None) -> str:
    if not provenance:
        return ""
    commands = [x["command"] for x in (provenance, *provenance.get("resumed", ()))]
    dirty = " with uncommitted changes" if provenance.get("git_dirty") else ""
    versions = ", ".join(f"{name} {x}" for name, x in provenance["versions"].items())
    lines = [
        "```bash\n" + "\n".join(commands) + "\n```",
        f"- date: {provenance['date']}",
        f"- revision of the code: {provenance['git_revision'] or 'unknown'}{dirty}",
        f"- versions: {versions}",
        f"- machine: {provenance['machine']}",
    ]
    lines += [f"- Hub: {name} at commit {commit}"
              for name, commit in provenance.get("hub", {}).items()]  # fmt: skip
    return lines[0] + "\n\n" + "\n".join(lines[1:])
