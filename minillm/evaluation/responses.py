"""The responses of one decoding pass, which are the input of all metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SUMS = ("reverse_kl", "forward_kl", "entropy")  # over the tokens of each response


@dataclass(frozen=True)
class References:
    """The first reference of N inputs, as a model reads it.

    Attributes:
        log_probs: log q(reference | prompt) in nats, summed over the tokens, `[N]`.
        lengths: number of these tokens, with EOS unless the reference was cut, `[N]`.
        label_log_probs: log q(word | prompt) of each label word, without EOS, `[N, K]`; None
            without label words.
        labels: index of the right label word, `[N]`, or None.
    """

    log_probs: np.ndarray
    lengths: np.ndarray
    label_log_probs: np.ndarray | None = None
    labels: np.ndarray | None = None

    def select(self, indices: np.ndarray) -> "References":
        """The references of the inputs with these indices."""
        parts = (self.log_probs, self.lengths, self.label_log_probs, self.labels)
        return References(*(None if part is None else part[indices] for part in parts))


@dataclass(frozen=True)
class Responses:
    """The responses to N inputs, in the order of the inputs.

    Attributes:
        texts: N texts without special tokens and surrounding white space.
        lengths: number of tokens with EOS, `[N]`.
        finished: whether the response ended in EOS before the length limit, `[N]`.
        reverse_kl: exact KL[q || p] summed over the tokens of each response, in nats, `[N]`. None
            without a teacher that has the model's tokenizer.
        forward_kl: KL[p || q] likewise; None where it was not computed.
        entropy: H[q] of the sampled distribution, likewise; None where it was not computed.
        references: what the model says about the gold responses to the same inputs; None where it
            was not computed.
    """

    texts: Sequence[str]
    lengths: np.ndarray
    finished: np.ndarray
    reverse_kl: np.ndarray | None = None
    forward_kl: np.ndarray | None = None
    entropy: np.ndarray | None = None
    references: References | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, indices: Sequence[int]) -> "Responses":
        """The responses to the inputs with these indices."""
        indices = np.asarray(indices, dtype=np.int64)
        sums = (getattr(self, name) for name in SUMS)
        chosen = (None if values is None else values[indices] for values in sums)
        texts = [self.texts[i] for i in indices]
        references = self.references and self.references.select(indices)
        return Responses(texts, self.lengths[indices], self.finished[indices], *chosen, references)
