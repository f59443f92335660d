"""One decoding pass over a set of inputs, and the metrics of its responses.

Each process responds to a share of the inputs and scores a share of the responses. All processes
return the results of all inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from minillm.data.batches import SequenceBatch
from minillm.data.encoding import Example, teacher_prompt_batch
from minillm.evaluation.metrics import METRICS, Metric, cheap_metrics
from minillm.evaluation.responses import References, Responses
from minillm.evaluation.statistics import weighted_mean
from minillm.models.forward import response_terms
from minillm.models.language_model import LanguageModel
from minillm.objectives.divergences import ReverseKL
from minillm.objectives.terms import DivergenceTerm, Terms, TokenLogProb
from minillm.processes import failing_together, gathered, share
from minillm.sampling.generate import by_length, generate, length_batches, response_texts
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher

# The terms of a pass by default: KL[q || p], exact over the vocabulary at each token. For responses
# of the student, the mean of the sums over tokens estimates the reverse KL of whole sequences.
DEFAULT_TERMS: Terms = {"reverse_kl": DivergenceTerm(ReverseKL())}


ROWS_OF_A_PASS = 32  # rows per forward pass over responses


@dataclass(frozen=True)
class Values:
    """The values `[N]` of a metric and their weights `[N]`; weights None means equal weights."""

    per_input: np.ndarray
    weights: np.ndarray | None

    def mean(self) -> float:
        return float(weighted_mean(self.per_input, self.weights))


@dataclass(frozen=True)
class Scores:
    """Responses and their values by metric; None for a metric that cannot be computed."""

    responses: Responses
    values: dict[str, Values | None]

    def summary(self) -> dict[str, float]:
        """The mean over the inputs of each metric that could be computed."""
        return {name: values.mean() for name, values in self.values.items() if values}


def score(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    decoding: Decoding,
    *,
    seed: int,
    batch_size: int,
    metrics: Sequence[str] | None = None,
    terms: Terms = DEFAULT_TERMS,
    references: References | None = None,
) -> Scores:
    """Respond to every input once and score the responses.

    Args:
        model: writes the responses.
        teacher: for divergences; None if there is none, or if its tokenizer is not that of the
            model. Without a teacher, metrics that need a teacher are None.
        examples: N inputs.
        decoding: temperature and limits.
        seed: seed of the sampling.
        batch_size: inputs decoded at once.
        metrics: names; None for all cheap ones.
        terms: see `respond`.
        references: for metrics that read the gold responses; without them, these metrics are None.
    """
    responses = respond(
        model, teacher, examples, decoding, seed=seed, batch_size=batch_size, terms=terms
    )
    responses = replace(responses, references=references)
    names = cheap_metrics() if metrics is None else metrics
    return Scores(responses, {name: _values(METRICS[name], responses, examples) for name in names})


def respond(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    decoding: Decoding,
    *,
    seed: int,
    batch_size: int,
    terms: Terms = DEFAULT_TERMS,
) -> Responses:
    """Respond to every input once, and sum some terms over the tokens of each response.

    The arguments are those of `score`.

    Args:
        terms: by the names of the fields of `Responses`. Terms that need a teacher are left out if
            there is none.
    """
    terms = {name: term for name, term in terms.items() if teacher or not term.needs_targets}
    prompts = [example.prompt_ids for example in examples]
    batches = generate(
        model,
        prompts,
        decoding,
        batch_size=batch_size,
        seed=seed,
        indices=share(by_length(prompts)),
    )
    rows = []
    with failing_together(FloatingPointError):
        for indices, rollout in batches:
            batch = [examples[i] for i in indices]
            sums = _sums_of_terms(model, teacher, batch, rollout, terms)
            lengths, finished = rollout.sequences.response_lengths, rollout.finished
            rows += zip(indices, response_texts(model, rollout), lengths.tolist(),
                        finished.tolist(), *sums, strict=True)  # fmt: skip
    _, texts, *columns = zip(*sorted(gathered(rows)), strict=True)
    lengths, finished, *sums = map(np.array, columns)
    return Responses(list(texts), lengths, finished, **dict(zip(terms, sums, strict=True)))


def _sums_of_terms(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    rollout: Rollout,
    terms: Terms,
) -> list[list[float]]:
    """The sum of each term over the tokens of each of B responses, in nats; one list per term.

    Forward passes read rows of similar length, so that they read little padding.
    """
    if not terms:
        return []
    lengths = rollout.sequences.prompt_lengths + rollout.sequences.response_lengths
    order = lengths.argsort()
    parts = []
    for rows in order.split(ROWS_OF_A_PASS):
        batch, targets = rollout.sequences.select(rows), None
        if any(term.needs_targets for term in terms.values()):
            chosen = [examples[i] for i in rows.tolist()]
            teacher_prompts = teacher_prompt_batch(chosen, model.pad_id, model.device)
            targets = teacher.score(batch.with_prompts(teacher_prompts)).targets
        values = response_terms(model, batch, terms=terms, targets=targets)
        parts.append(torch.stack([values[name].sum(-1) for name in terms]))
    in_order = torch.cat(parts, dim=1).cpu()  # the only wait for the device
    return in_order[:, order.argsort()].tolist()


def _values(metric: Metric, responses: Responses, examples: Sequence[Example]) -> Values | None:
    """The metric's values of all responses; each process computes a share of the values."""
    if metric.looks_at_all:
        values = metric.score(responses, examples)
    else:
        indices = share(range(len(responses)))
        values = metric.score(responses.select(indices), [examples[i] for i in indices])
        if values is not None:
            pairs = sorted(gathered(list(zip(indices, values.tolist(), strict=True))))
            values = np.array([value for _, value in pairs])
    return None if values is None else Values(values, metric.weights(responses))


def read_references(
    model: LanguageModel, examples: Sequence[Example], batch_size: int
) -> References:
    """The log-probability of the first reference of each input, and of its label words, if any.

    Args:
        model: reads the references.
        examples: N inputs.
        batch_size: inputs per forward pass.
    """
    prompts = [example.prompt_ids for example in examples]
    responses = [example.response_ids[0] for example in examples]
    log_probs, lengths = _log_probs(model, prompts, responses, batch_size)
    words = zip(*(example.label_ids for example in examples), strict=True)  # K lists of N words
    of_labels = [_log_probs(model, prompts, word, batch_size)[0] for word in words]
    if not of_labels:
        return References(log_probs, lengths)
    labels = np.array([example.label for example in examples])
    return References(log_probs, lengths, np.stack(of_labels, axis=1), labels)


def _log_probs(
    model: LanguageModel,
    prompts: Sequence[list[int]],
    responses: Sequence[list[int]],
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of N given responses in nats, and their numbers of tokens, `[N]` each."""
    pairs = [*zip(prompts, responses, strict=True)]
    rows = []
    for indices in share(length_batches([x + y for x, y in pairs], batch_size)):
        batch = SequenceBatch.pad([pairs[i] for i in indices], model.pad_id).to(model.device)
        log_probs = response_terms(model, batch, terms={"log_probs": TokenLogProb()})["log_probs"]
        sums = log_probs.sum(-1).tolist()
        rows += zip(indices, sums, batch.response_lengths.tolist(), strict=True)
    _, log_probs, lengths = zip(*sorted(gathered(rows)), strict=True)
    return np.array(log_probs), np.array(lengths)


def language_model_loss(
    model: LanguageModel, examples: Sequence[Example], batch_size: int
) -> float:
    """Mean cross-entropy, nats per token, of the first reference of each input."""
    return -reference_means(model, examples, batch_size, {"log_probs": TokenLogProb()})["log_probs"]


def reference_means(
    model: LanguageModel,
    examples: Sequence[Example],
    batch_size: int,
    terms: Terms,
    teacher: Teacher | None = None,
) -> dict[str, float]:
    """The mean of each term over the tokens of the first reference of all inputs.

    Args:
        model: reads the references.
        examples: the inputs.
        batch_size: inputs per forward pass.
        terms: by name.
        teacher: for terms that need targets. It reads the prompts of the model.
    """
    sums = dict.fromkeys(terms, 0.0)
    tokens = 0
    for batch in share(reference_batches(examples, batch_size, model.pad_id)):
        batch = batch.to(model.device)
        targets = teacher.score(batch).targets if teacher else None
        values = response_terms(model, batch, terms=terms, targets=targets)
        sums = {name: total + float(values[name].sum()) for name, total in sums.items()}
        tokens += batch.tokens
    *totals, tokens = map(sum, zip(*gathered([(*sums.values(), tokens)]), strict=True))
    return {name: total / tokens for name, total in zip(sums, totals, strict=True)}


def reference_batches(
    examples: Sequence[Example], batch_size: int, pad_id: int
) -> list[SequenceBatch]:
    """The prompts of all inputs with their first references, in batches of similar length."""
    pairs = [(example.prompt_ids, example.response_ids[0]) for example in examples]
    sequences = [prompt + response for prompt, response in pairs]
    return [
        SequenceBatch.pad([pairs[i] for i in indices], pad_id)
        for indices in length_batches(sequences, batch_size)
    ]
