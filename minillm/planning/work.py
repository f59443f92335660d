"""The work of a training: steps, collections, tokens, and forward passes of the teacher."""

import math
from dataclasses import dataclass

import numpy as np

from minillm.config import MethodConfig, MiniLLMConfig, TokenLossConfig
from minillm.methods.build import build_source
from minillm.training.pace import collections, validations
from minillm.training.setup import Setup


@dataclass(frozen=True)
class Work:
    """The work of all processes together.

    Attributes:
        epoch: sequences of one pass over the training data.
        steps: optimiser steps.
        batch_size: sequences per step.
        steps_per_collection: number of steps for which one collection of responses lasts.
        collections: number of collections.
        sampled: responses that a model samples for the training.
        validations: number of validations.
        response_length: mean length of the responses of the data, in tokens.
        response_limit: largest length of a response on which the student trains.
        plain_tokens: tokens of plain text per step.
    """

    epoch: int
    steps: int
    batch_size: int
    steps_per_collection: int
    collections: int
    sampled: int
    validations: int
    response_length: float
    response_limit: int
    plain_tokens: int

    @staticmethod
    def of(setup: Setup) -> "Work":
        """The work of a run. Nothing is sampled, and nothing is written."""
        method, training = setup.config.method, setup.config.training
        if method.response_file is None:
            source = build_source(setup)
            epoch, per_collection = source.epoch_size, source.steps_per_collection
        else:  # the source would write the file
            epoch, per_collection = len(setup.train) * method.samples_per_prompt, 1
        steps = training.total_steps(epoch)
        count = collections(steps, per_collection)
        lengths = [len(ids) for example in setup.train for ids in example.response_ids]
        if isinstance(method, MiniLLMConfig):
            sampled = count * method.rollouts_per_collection
        elif method.samples_teacher:
            sampled = epoch
        else:
            sampled = round(steps * training.batch_size * student_share(method))
        return Work(
            epoch=epoch,
            steps=steps,
            batch_size=training.batch_size,
            steps_per_collection=per_collection,
            collections=count,
            sampled=sampled,
            validations=validations(steps, training),
            response_length=float(np.mean(lengths)),
            response_limit=setup.config.data.max_response_length if sampled else max(lengths),
            # The first token of a block is its prompt.
            plain_tokens=bool(method.lm_coef) * method.lm_batch_size * (method.lm_length - 1),
        )

    def tokens(self, response_length: float) -> float:
        """Tokens per step on which the loss is computed, for responses of this mean length."""
        return self.batch_size * response_length + self.plain_tokens


def student_share(method: MethodConfig) -> float:
    """The mean share of responses that the student writes, alone or in the mixture."""
    if isinstance(method, MiniLLMConfig):
        return 1.0
    end = method.student_share if method.student_share_end is None else method.student_share_end
    return (method.student_share + end) / 2


@dataclass(frozen=True)
class TeacherPasses:
    """The largest numbers of forward passes of the teacher on one process.

    Attributes:
        before: passes that write the responses of SeqKD, before the first step.
        collection: passes per collection.
        step: passes per optimiser step.
    """

    before: int
    collection: int
    step: int

    @staticmethod
    def of(setup: Setup, work: Work, processes: int) -> "TeacherPasses":
        """The passes of a run with this number of processes."""
        config, method = setup.config, setup.config.method
        limit, size = config.data.max_response_length, config.training.micro_batch_size
        before = collection = step = 0
        if isinstance(method, MiniLLMConfig):
            collection = _passes_of_mixture(method, processes, limit)
        elif method.samples_teacher:
            batches = parts(work.epoch, method.generation_batch_size)
            before = parts(batches, processes) * limit
        if isinstance(method, TokenLossConfig) and (method.kd_ratio or method.layers):
            step += parts(config.training.batch_size // processes, size)
        if method.lm_coef and method.lm_kd_ratio:
            step += parts(method.lm_batch_size // processes, size)
        return TeacherPasses(before, collection, step)


def _passes_of_mixture(method: MiniLLMConfig, processes: int, limit: int) -> int:
    """Passes of one collection, if all responses have `limit` tokens.

    With G groups of rows that share their coins, the teacher is called at a share
    1 - (1 - alpha)^G of the decoding steps, and once more for the tokens after its last call.
    """
    rows = method.rollouts_per_collection // processes
    decoded = min(method.sampling_batch_size or rows, rows)
    groups = parts(decoded, method.coin_group)
    share = 1 - (1 - method.alpha) ** groups
    return math.ceil((share * limit + 1) * parts(rows, decoded))


def parts(rows: int, size: int | None) -> int:
    """Number of parts of at most `size` rows; None for a single part."""
    return math.ceil(rows / (size or rows))
