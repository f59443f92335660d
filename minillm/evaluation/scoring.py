"""The metrics of one decoding pass, and of the gold responses.

Each process scores a share of the responses. All processes return the values of all inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from minillm.data.batches import SequenceBatch
from minillm.data.encoding import Example
from minillm.evaluation.metrics import METRICS, Metric, cheap_metrics
from minillm.evaluation.passes import DEFAULT_TERMS, respond, sum_terms
from minillm.evaluation.responses import References, Responses
from minillm.evaluation.statistics import weighted_mean
from minillm.evaluation.store import Store
from minillm.models.forward import response_terms
from minillm.models.language_model import LanguageModel
from minillm.objectives.terms import Terms, TokenLogProb
from minillm.processes import gathered, share
from minillm.sampling.generate import length_batches
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher


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
    store: Store | None = None,
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
        store: keeps the responses, and has those of an earlier evaluation; None to keep none.
    """
    responses = respond(
        model, teacher, examples, decoding, seed=seed, batch_size=batch_size, terms=terms,
        store=store,
    )  # fmt: skip
    responses = replace(responses, references=references)
    names = cheap_metrics() if metrics is None else metrics
    return Scores(responses, {name: _values(METRICS[name], responses, examples) for name in names})


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


def read_references(model: LanguageModel, examples: Sequence[Example]) -> References:
    """The log-probability of the first reference of each input, and of its label words, if any.

    Args:
        model: reads the references.
        examples: N inputs.
    """
    log_probs = _log_probs(model, examples, [x.response_ids[0] for x in examples])
    lengths = np.array([len(example.response_ids[0]) for example in examples])
    words = zip(*(example.label_ids for example in examples), strict=True)  # K lists of N words
    of_labels = [_log_probs(model, examples, word) for word in words]
    if not of_labels:
        return References(log_probs, lengths)
    labels = np.array([example.label for example in examples])
    return References(log_probs, lengths, np.stack(of_labels, axis=1), labels)


def _log_probs(
    model: LanguageModel, examples: Sequence[Example], responses: Sequence[list[int]]
) -> np.ndarray:
    """Log-probabilities of N given responses in nats, `[N]`."""
    terms = {"log_probs": TokenLogProb()}
    return np.array(sum_terms(model, None, examples, responses, terms)["log_probs"])


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
