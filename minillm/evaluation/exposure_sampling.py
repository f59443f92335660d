"""Samples responses of student and teacher, and measures KL[p || q] at each of their steps."""

from collections.abc import Sequence

import numpy as np

from minillm.data.encoding import Example
from minillm.evaluation.exposure import ExposureBias, Steps, exposure_bias
from minillm.evaluation.passes import term_passes, write_responses
from minillm.evaluation.store import Store
from minillm.models.language_model import LanguageModel
from minillm.objectives.divergences import ForwardKL
from minillm.objectives.terms import DivergenceTerm, Terms
from minillm.processes import failing_together, gathered, share
from minillm.progress import begin_part, count_responses
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher

# E_{y_t ~ p} log p / q is KL[p || q], exact over the vocabulary.
TERMS: Terms = {"kl": DivergenceTerm(ForwardKL())}
PARTS = ("kl", "share")  # of `Steps`


def sample_exposure_bias(
    model: LanguageModel,
    teacher: Teacher,
    examples: Sequence[Example],
    *,
    max_length: int,
    seeds: Sequence[int],
    batch_size: int,
    store: Store | None = None,
) -> ExposureBias:
    """The exposure bias of a model, from responses of the model and of its teacher.

    Both sample at temperature 1, and respond to each prompt once per seed.

    Args:
        model: the student.
        teacher: a teacher whose `sampler` is not None.
        examples: N inputs.
        max_length: maximum tokens of a response.
        seeds: S different seeds.
        batch_size: inputs decoded at once.
        store: see `evaluate`.
    """
    options = {"max_length": max_length, "seeds": seeds, "batch_size": batch_size, "store": store}
    by_student = sample_steps(model, teacher, examples, by_teacher=False, **options)
    by_teacher = sample_steps(model, teacher, examples, by_teacher=True, **options)
    return exposure_bias(by_student, by_teacher, len(seeds))


def sample_steps(
    model: LanguageModel,
    teacher: Teacher,
    examples: Sequence[Example],
    *,
    by_teacher: bool,
    max_length: int,
    seeds: Sequence[int],
    batch_size: int,
    store: Store | None = None,
) -> Steps:
    """KL[p || q] at each step of the responses that one of the two models writes.

    The arguments are those of `sample_exposure_bias`.

    Args:
        by_teacher: whether the teacher writes the responses; otherwise the student writes them.
    """
    writer = "teacher" if by_teacher else "student"
    steps = []
    for seed in seeds:
        begin_part(f"exposure bias, {writer}, seed {seed}")
        part = f"exposure-{writer}_seed-{seed}"
        values = store and store.read(part, PARTS)
        if values:
            steps.append(Steps.from_lists(values))
            count_responses(len(share(examples)))
            continue
        decoding = Decoding(max_length)
        steps.append(_steps(model, teacher, examples, by_teacher, decoding, seed, batch_size))
        if store:
            store.write(part, steps[-1].to_lists())
    return Steps(*(np.mean([getattr(x, name) for x in steps], axis=0) for name in PARTS))


def _steps(
    model: LanguageModel,
    teacher: Teacher,
    examples: Sequence[Example],
    by_teacher: bool,
    decoding: Decoding,
    seed: int,
    batch_size: int,
) -> Steps:
    """The steps of one response to each prompt."""
    writer = teacher.sampler if by_teacher else model
    prompts = [(by_teacher and x.teacher_prompt_ids) or x.prompt_ids for x in examples]
    kl = np.zeros((len(examples), decoding.max_length))
    ids, _ = write_responses(writer, prompts, decoding, seed=seed, batch_size=batch_size)
    with failing_together(FloatingPointError):
        for indices, values in term_passes(model, teacher, examples, ids, TERMS):
            kl[indices, : values["kl"].shape[1]] = values["kl"].cpu().numpy()
    lengths = np.array([*map(len, ids)])
    has_step = np.arange(decoding.max_length) < lengths[:, None]
    return Steps(sum(gathered([kl])), has_step.astype(np.float64))  # each process has some rows
