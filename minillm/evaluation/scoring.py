"""One pass of sampling over a set of inputs, and all that is scored on it.

Every process responds to a share of the inputs and scores it; all of them return the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from minillm.data.batches import SequenceBatch
from minillm.data.encoding import Example
from minillm.evaluation.rouge import rouge_l
from minillm.models.forward import response_terms
from minillm.models.language_model import LanguageModel
from minillm.objectives.divergences import ReverseKL
from minillm.objectives.terms import DivergenceTerm, TokenLogProb
from minillm.processes import failing_together, gathered, share
from minillm.sampling.generate import by_length, generate, length_batches, response_texts
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher


@dataclass(frozen=True)
class Scores:
    """The responses to N inputs, in the order of the inputs, and their scores.

    Attributes:
        responses: N texts.
        rouge_l: F1 of 0 to 100, best over the references, `[N]`.
        lengths: tokens with EOS, `[N]`.
        finished: whether EOS came before the limit, `[N]`.
        reverse_kl: exact KL[q || p] summed over the tokens of a response, nats, `[N]`; or None.
    """

    responses: list[str]
    rouge_l: np.ndarray
    lengths: np.ndarray
    finished: np.ndarray
    reverse_kl: np.ndarray | None

    def summary(self) -> dict[str, float]:
        """Means over the inputs; `reverse_kl` is that of a token."""
        means = {
            "rougeL": float(self.rouge_l.mean()),
            "length": float(self.lengths.mean()),
            "unfinished": float(1 - self.finished.mean()),
            "empty": float((self.lengths <= 1).mean()),
        }
        if self.reverse_kl is not None:
            means["reverse_kl"] = float(self.reverse_kl.sum() / self.lengths.sum())
        return means


def score(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    decoding: Decoding,
    seed: int,
    batch_size: int,
) -> Scores:
    """Respond to every input once and score the responses."""
    prompts = [example.prompt_ids for example in examples]
    mine = share(by_length(prompts))
    rows = []
    with failing_together(FloatingPointError):
        for indices, rollout in generate(model, prompts, decoding, batch_size, seed, mine):
            texts = response_texts(model, rollout)
            references = [examples[i].references for i in indices]
            divergences = torch.zeros(len(indices))
            if teacher:
                divergences = exact_reverse_kl(model, teacher, rollout.sequences)
            lengths, finished = rollout.mask.sum(-1).tolist(), rollout.finished.tolist()
            rows += zip(indices, texts, rouge_l(texts, references), lengths, finished,
                        divergences.tolist(), strict=True)  # fmt: skip
    _, texts, *columns = zip(*sorted(gathered(rows)), strict=True)
    rouge, lengths, finished, divergences = map(np.array, columns)
    return Scores(list(texts), rouge, lengths, finished, divergences if teacher else None)


@torch.no_grad()
def exact_reverse_kl(
    student: LanguageModel, teacher: Teacher, batch: SequenceBatch
) -> torch.Tensor:
    """Sum `[B]` over each response of KL[q || p], exact over V at each position, in nats.

    Over responses drawn from the student its mean estimates the reverse KL of whole sequences.
    """
    terms = {"reverse_kl": DivergenceTerm(ReverseKL())}
    targets = teacher.score(batch).targets
    return response_terms(student, batch, terms=terms, targets=targets)["reverse_kl"].sum(-1)


def language_model_loss(
    model: LanguageModel, examples: Sequence[Example], batch_size: int
) -> float:
    """Mean cross-entropy, nats a token, of the first reference of each input."""
    pairs = [(example.prompt_ids, example.response_ids[0]) for example in examples]
    total = tokens = 0.0
    sequences = [prompt + response for prompt, response in pairs]
    for indices in share(length_batches(sequences, batch_size)):
        batch = SequenceBatch.pad([pairs[i] for i in indices], model.pad_id).to(model.device)
        terms = response_terms(model, batch, terms={"log_probs": TokenLogProb()})
        total, tokens = total - float(terms["log_probs"].sum()), tokens + batch.tokens
    sums = zip(*gathered([(total, tokens)]), strict=True)
    total, tokens = map(sum, sums)
    return total / tokens
