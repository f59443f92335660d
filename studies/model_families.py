"""Reads every family of causal language models of transformers, for docs/models.md.

    python -m studies.model_families

replaces the table in docs/models.md. Each family is tried with two tiny random models
(studies/tiny_families.py), a student and a teacher. They must pass the checks of `minillm train`.
Then the sampler draws from their mixture, with prompts of different lengths and with rows that
leave and join the batch. All values are compared with plain forward passes over each row alone.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import transformers
from torch import Tensor, nn

from benchmarks.documents import fill
from minillm.data.batches import PromptBatch
from minillm.errors import InputError, first_line
from minillm.models.cache import EMPTY, growing_cache
from minillm.models.check import check_model
from minillm.models.forward import response_loss, response_terms
from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel
from minillm.models.limits import check_length
from minillm.models.parts import takes_positions
from minillm.objectives.terms import TokenLogProb
from minillm.reporting.markdown import table
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample
from studies.tiny_families import PAD, SLIDING, TOKENS, build, families

DOCUMENT = Path(__file__).parents[1] / "docs" / "models.md"
PROMPTS = (13, 1, 4, 9, 2, 7, 5, 11, 3, 6, 1, 8)  # lengths
RESPONSE, BATCH = 24, 4
ROUNDING = 2e-3  # nats, and the relative size of gradients
NOTICED = 0.05  # nats: reading padding as tokens changes log-probabilities at least so much
TERMS = {"log_probs": TokenLogProb()}


@dataclass(frozen=True)
class Row:
    """The result of one family: `passes`, `refused`, `wrong` or `not tried`."""

    family: str
    kind: str  # the class of the model
    result: str
    remark: str


def try_family(family: str) -> Row:
    """Build a student and a teacher of the family, check them, and compare what is read."""
    try:
        student, teacher = build(family, 1), build(family, 2)
    except Exception as error:  # of many types
        return Row(family, "", "not tried", first_line(error.__cause__ or error))
    kind = type(student.module).__name__
    try:
        check_length(student.module.config, family, max(PROMPTS) + RESPONSE)
        check_model(student)
        refusal = ""
    except InputError as error:
        refusal = reason(error, family, kind)
    try:
        rollout = draw(student, teacher)
        faults = list(differences(student, teacher, rollout))
    except Exception as error:  # of many types
        faults = [f"{type(error).__name__}: {first_line(error)}"]
    if refusal:
        return Row(family, kind, "refused", refusal if faults else f"{refusal}; is read rightly")
    if faults:  # the checks have missed this model
        return Row(family, kind, "wrong", ", ".join(faults))
    return Row(family, kind, "passes", ", ".join(properties(student, rollout)))


def draw(student: LanguageModel, teacher: LanguageModel) -> Rollout:
    """Responses of the mixture; the batch is smaller than the number of prompts."""
    generator = torch.Generator().manual_seed(3)
    prompts = [torch.randint(7, TOKENS, (n,), generator=generator).tolist() for n in PROMPTS]
    return sample(
        student,
        PromptBatch.pad(prompts, PAD),
        Decoding(RESPONSE),
        generator=generator,
        teacher=teacher,
        alpha=0.4,
        batch_size=BATCH,
        computes_reverse_kl=True,
    )


def differences(student: LanguageModel, teacher: LanguageModel, rollout: Rollout) -> Iterator[str]:
    """What differs from plain forward passes over each row alone, in words."""
    mask = rollout.mask.bool()
    ids = rollout.sequences.response_ids[mask][:, None]
    log_q, log_p = (log_probs_alone(model, rollout) for model in (student, teacher))
    log_q_tokens, log_p_tokens = (x.gather(-1, ids)[:, 0] for x in (log_q, log_p))
    reverse_kl = (log_q.exp() * (log_q - log_p)).sum(-1)
    trained, gradient, plain_gradient = gradients(student, rollout)
    errors = {
        "sampling": largest(rollout.student_log_probs[mask] - log_q_tokens),
        "scores of the teacher": largest(rollout.teacher_log_probs[mask] - log_p_tokens),
        "reverse KL": largest(rollout.reverse_kl[mask] - reverse_kl),
        "scores of a batch": largest(token_log_probs(student, rollout)[mask] - log_q_tokens),
        "training": largest(trained[mask] - log_q_tokens),
        "gradient": float((gradient - plain_gradient).norm() / plain_gradient.norm()),
    }
    yield from (f"{name} is off by {x:.2g}" for name, x in errors.items() if not x <= ROUNDING)
    noticed = largest(token_log_probs(student, padding_unmasked(rollout))[mask] - log_q_tokens)
    if not noticed >= NOTICED:
        yield f"padding that is read as tokens changes {noticed:.2g} nats only"


def largest(values: Tensor) -> float:
    return float(values.abs().max())


@torch.no_grad()
def log_probs_alone(model: LanguageModel, rollout: Rollout) -> Tensor:
    """Log-probabilities `[N, V]` at the N response tokens, from plain passes without padding."""
    return torch.cat([plain_pass(model, *row) for row in rows(rollout)])


def rows(rollout: Rollout) -> Iterator[tuple[Tensor, Tensor]]:
    """The prompt and the response of each row, without padding."""
    batch = rollout.sequences
    for i in range(len(batch)):
        prompt = batch.prompt_ids[i][batch.prompt_mask[i].bool()]
        yield prompt, batch.response_ids[i][batch.response_mask[i].bool()]


def plain_pass(model: LanguageModel, prompt: Tensor, response: Tensor) -> Tensor:
    """Log-probabilities `[T, V]` at the tokens of one response."""
    ids = torch.cat([prompt, response])[None]
    output = model.module(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    logits = output.logits[0, len(prompt) - 1 : -1, : model.vocab_size]
    return logits.log_softmax(-1)


def token_log_probs(model: LanguageModel, rollout: Rollout) -> Tensor:
    """Log-probabilities `[B, T]` of the tokens, from one pass over all rows."""
    return response_terms(model, rollout.sequences, terms=TERMS)["log_probs"]


def padding_unmasked(rollout: Rollout) -> Rollout:
    """The rollout with the padding of prompts as tokens."""
    mask = torch.ones_like(rollout.sequences.prompt_mask)
    return replace(rollout, sequences=replace(rollout.sequences, prompt_mask=mask))


def gradients(model: LanguageModel, rollout: Rollout) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities `[B, T]` of the training path, its gradient, and that of plain passes."""
    module = model.module
    loss, values = response_loss(
        module, rollout.sequences, model, terms=TERMS, loss=lambda values: -values["log_probs"]
    )
    loss.backward()
    gradient = taken_gradient(module)
    for prompt, response in rows(rollout):
        log_probs = plain_pass(model, prompt, response).gather(-1, response[:, None])
        (-log_probs.sum()).backward()
    return values["log_probs"], gradient, taken_gradient(module)


def taken_gradient(module: nn.Module) -> Tensor:
    """The gradient of all weights, which is removed from the model."""
    parts = [
        torch.zeros_like(weight) if weight.grad is None else weight.grad
        for weight in module.parameters()
    ]
    module.zero_grad()
    return torch.cat([part.flatten() for part in parts])


def reason(error: InputError, family: str, kind: str) -> str:
    """The part of a message that says what is wrong with a model."""
    text = str(error)
    for start in (f"{family} ({kind}) ", f"the model {family!r} ", f"{kind} "):
        text = text.removeprefix(start)
    text = re.sub(r"^models of type '\S+' ", "", text)
    ends = r", so that|, but the longest| in a way|\. Use|: its logits|: transformers"
    return re.split(ends, text)[0]


def properties(model: LanguageModel, rollout: Rollout) -> list[str]:
    """What is special about a model."""
    config, head = model.module.config.get_text_config(), output_head(model)
    layer_types = getattr(config, "layer_types", None) or ()
    window = getattr(config, "sliding_window", None) or getattr(config, "window_size", None)
    parts = dict(model.module.get_decoder().named_modules())
    return [
        name
        for name, is_true in {
            "config of several parts": config is not model.module.config,
            "mixture of experts": any("expert" in part for part in parts),
            "latent attention": getattr(config, "kv_lora_rank", None),
            "sliding window": SLIDING in layer_types or (window and not layer_types),
            "attention in chunks": "chunked_attention" in layer_types,
            "keys and values of other layers": any(
                isinstance(layer, EMPTY) for layer in growing_cache(model.module.config).layers
            ),
            "learned positions": any(
                isinstance(part, nn.Embedding) and re.search("wpe|position", name)
                for name, part in parts.items()
            ),
            "ALiBi": getattr(config, "alibi", None) or not takes_positions(model.module),
            "scaled logits": head.scale != 1,
            "soft-capped logits": head.softcap,
            "draws experts at random in training mode": is_random(model, rollout),
        }.items()
        if is_true
    ]


def is_random(model: LanguageModel, rollout: Rollout) -> bool:
    """Whether the model is random in training mode without dropout."""
    expected = token_log_probs(model, rollout)
    model.module.train()
    difference = largest(token_log_probs(model, rollout) - expected)
    model.module.eval()
    return difference > ROUNDING


def families_table(rows: Sequence[Row]) -> str:
    cells = [[f"`{x.family}`", f"`{x.kind}`" * bool(x.kind), x.result, x.remark] for x in rows]
    return table(["family", "class", "result", "remark"], cells, texts=4)


def summary(rows: Sequence[Row]) -> str:
    """The numbers of results, and the versions."""
    counts = Counter(row.result for row in rows)
    return (
        f"transformers {transformers.__version__}, torch {torch.__version__}: of {len(rows)} rows, "
        f"{counts['passes']} pass, {counts['refused']} are refused, {counts['not tried']} could "
        f"not be built, and {counts['wrong']} are wrong."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("families", nargs="*", help="print these rows only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    found = []
    for family in arguments.families or families():
        found.append(try_family(family))
        print(*vars(found[-1]).values(), sep=" | ", flush=True)
    if arguments.families:
        return
    text = fill(DOCUMENT.read_text("utf-8"), "families", families_table(found))
    DOCUMENT.write_text(fill(text, "summary", summary(found)), "utf-8")


if __name__ == "__main__":
    main()
