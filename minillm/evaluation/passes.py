"""One decoding pass over a set of inputs, and sums over the tokens of its responses.

Each process responds to a share of the inputs, and reads a share of the responses. All processes
return the values of all inputs.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from minillm.data.batches import SequenceBatch
from minillm.data.encoding import Example, teacher_prompt_batch
from minillm.evaluation.responses import Responses
from minillm.evaluation.store import Store
from minillm.models.forward import response_terms
from minillm.models.language_model import LanguageModel
from minillm.objectives.divergences import ReverseKL
from minillm.objectives.terms import DivergenceTerm, Terms
from minillm.processes import failing_together, gathered, share
from minillm.progress import count_responses
from minillm.sampling.generate import by_length, generate, length_batches, response_texts
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher

# The terms of a pass by default: KL[q || p], exact over the vocabulary at each token. For responses
# of the student, the mean of the sums over tokens estimates the reverse KL of whole sequences.
DEFAULT_TERMS: Terms = {"reverse_kl": DivergenceTerm(ReverseKL())}

ROWS_OF_A_PASS = 32  # rows per forward pass over responses


def respond(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    decoding: Decoding,
    *,
    seed: int,
    batch_size: int,
    terms: Terms = DEFAULT_TERMS,
    store: Store | None = None,
) -> Responses:
    """Respond to every input once, and sum some terms over the tokens of each response.

    Args:
        model: writes the responses.
        teacher: for terms that need targets; None if there is none.
        examples: N inputs.
        decoding: temperature and limits.
        seed: seed of the sampling.
        batch_size: inputs decoded at once.
        terms: by the names of the fields of `Responses`. Terms that need a teacher are left out if
            there is none.
        store: keeps responses and sums, and has those of an earlier evaluation. Only what it lacks
            is computed. None to keep none.
    """
    terms = {name: term for name, term in terms.items() if teacher or not term.needs_targets}
    # Terms of one name may differ, such as reverse KLs at two temperatures.
    keys = {name: repr(term) for name, term in terms.items()}
    part = _part(decoding, seed)
    values = dict((store and store.read(part, ("ids", "finished"))) or {})
    if "ids" in values:
        count_responses(len(share(examples)))
    else:
        prompts = [example.prompt_ids for example in examples]
        written = write_responses(model, prompts, decoding, seed=seed, batch_size=batch_size)
        values["ids"], values["finished"] = written
        if store:
            store.write(part, values)
    missing = {name: term for name, term in terms.items() if keys[name] not in values}
    if missing:
        sums = sum_terms(model, teacher, examples, values["ids"], missing)
        values |= {keys[name]: of_term for name, of_term in sums.items()}
        if store:
            store.write(part, values)
    sums = {name: np.array(values[keys[name]]) for name in terms}
    texts, lengths = response_texts(model, values["ids"]), np.array([*map(len, values["ids"])])
    return Responses(texts, lengths, np.array(values["finished"]), **sums)


def _part(decoding: Decoding, seed: int) -> str:
    """The name of a pass in a store, such as `temperature-0.5_seed-10`."""
    if decoding.temperature == 0:
        return "greedy"
    parts = [f"temperature-{decoding.temperature}"]
    if decoding.top_k:
        parts.append(f"top-k-{decoding.top_k}")
    if decoding.top_p < 1:
        parts.append(f"top-p-{decoding.top_p}")
    return "_".join([*parts, f"seed-{seed}"])


def write_responses(
    model: LanguageModel,
    prompts: Sequence[list[int]],
    decoding: Decoding,
    *,
    seed: int,
    batch_size: int,
) -> tuple[list[list[int]], list[bool]]:
    """The token ids of a response to each of N prompts, and whether it ended before the limit."""
    batches = generate(model, prompts, decoding, batch_size=batch_size, seed=seed,
                       indices=share(by_length(prompts)))  # fmt: skip
    rows = []
    with failing_together(FloatingPointError):
        for indices, rollout in batches:
            rows += zip(indices, rollout.responses, rollout.finished.tolist(), strict=True)
    _, ids, finished = zip(*sorted(gathered(rows)), strict=True)
    return list(ids), list(finished)


def sum_terms(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    responses: Sequence[list[int]],
    terms: Terms,
) -> dict[str, list[float]]:
    """The sum of each term over the tokens of each of N responses, in nats.

    The arguments are those of `term_passes`.
    """
    order, parts = [], []
    with failing_together(FloatingPointError):
        for indices, values in term_passes(model, teacher, examples, responses, terms):
            order += indices
            parts.append(torch.stack([values[name].sum(-1) for name in terms], dim=1))  # [R, terms]
    rows = torch.cat(parts).tolist() if parts else []  # the only wait for the device
    _, sums = zip(*sorted(gathered(list(zip(order, rows, strict=True)))), strict=True)
    return dict(zip(terms, map(list, zip(*sums, strict=True)), strict=True))


def term_passes(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    responses: Sequence[list[int]],
    terms: Terms,
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """The forward passes of this process: indices of R rows, and their terms `[R, T]`.

    The rows of a pass have similar length, so that a pass reads little padding. T is the length of
    the longest response of the pass.

    Args:
        model: the student, which reads its prompts and the responses.
        teacher: for terms that need targets; may be None if no term does.
        examples: N inputs.
        responses: token ids of a response to each input.
        terms: by name.
    """
    pairs = [(x.prompt_ids, ids) for x, ids in zip(examples, responses, strict=True)]
    for indices in share(length_batches([x + y for x, y in pairs], ROWS_OF_A_PASS)):
        batch = SequenceBatch.pad([pairs[i] for i in indices], model.pad_id).to(model.device)
        targets = None
        if any(term.needs_targets for term in terms.values()):
            chosen = [examples[i] for i in indices]
            teacher_prompts = teacher_prompt_batch(chosen, model.pad_id, model.device)
            targets = teacher.score(batch.with_prompts(teacher_prompts)).targets
        yield indices, response_terms(model, batch, terms=terms, targets=targets)
