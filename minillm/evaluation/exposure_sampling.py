"""Samples responses of student and teacher, and measures KL[p || q] at each of their steps."""

from collections.abc import Sequence

import numpy as np

from minillm.data.batches import PromptBatch
from minillm.data.encoding import Example, teacher_prompt_batch
from minillm.evaluation.exposure import ExposureBias, Steps, exposure_bias
from minillm.models.forward import response_terms
from minillm.models.language_model import LanguageModel
from minillm.objectives.divergences import ForwardKL
from minillm.objectives.terms import DivergenceTerm, Terms
from minillm.processes import failing_together, gathered, share
from minillm.progress import begin_part
from minillm.sampling.generate import by_length, generate
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher

# E_{y_t ~ p} log p / q is KL[p || q], exact over the vocabulary.
TERMS: Terms = {"kl": DivergenceTerm(ForwardKL())}


def sample_exposure_bias(
    model: LanguageModel,
    teacher: Teacher,
    examples: Sequence[Example],
    *,
    max_length: int,
    seeds: Sequence[int],
    batch_size: int,
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
    """
    options = {"max_length": max_length, "seeds": seeds, "batch_size": batch_size}
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
) -> Steps:
    """KL[p || q] at each step of the responses that one of the two models writes.

    The arguments are those of `sample_exposure_bias`.

    Args:
        by_teacher: whether the teacher writes the responses; otherwise the student writes them.
    """
    writer = teacher.sampler if by_teacher else model
    prompts = [(by_teacher and x.teacher_prompt_ids) or x.prompt_ids for x in examples]
    kl, has_step = np.zeros((2, len(examples), max_length))
    with failing_together(FloatingPointError):
        for seed in seeds:
            begin_part(f"exposure bias, {'teacher' if by_teacher else 'student'}, seed {seed}")
            batches = generate(
                writer, prompts, Decoding(max_length), batch_size=batch_size, seed=seed,
                indices=share(by_length(prompts)),
            )  # fmt: skip
            for indices, rollout in batches:
                batch = [examples[i] for i in indices]
                own_prompts = PromptBatch.pad([x.prompt_ids for x in batch], model.pad_id)
                sequences = rollout.sequences.to(model.device)
                sequences = sequences.with_prompts(own_prompts.to(model.device))
                teacher_prompts = teacher_prompt_batch(batch, model.pad_id, model.device)
                targets = teacher.score(sequences.with_prompts(teacher_prompts)).targets
                values = response_terms(model, sequences, terms=TERMS, targets=targets)["kl"]
                columns = slice(values.shape[1])
                kl[indices, columns] += values.cpu().numpy()
                has_step[indices, columns] += sequences.response_mask.cpu().numpy()
    # Each process has filled the rows of its inputs.
    totals = [sum(gathered([values])) / len(seeds) for values in (kl, has_step)]
    return Steps(*totals)
