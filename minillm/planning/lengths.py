"""The longest sequences of the data."""

from collections.abc import Sequence
from dataclasses import dataclass

from minillm.config import Config
from minillm.data.encoding import Example
from minillm.planning.work import student_share


@dataclass(frozen=True)
class Lengths:
    """The longest sequences, in tokens.

    Attributes:
        prompt: prompts of the training data.
        response: responses on which the student trains.
        sampled: responses that a model samples.
        teacher_prompt: the teacher's prompts; None if it reads those of the student.
        validation_prompt: prompts of the validation data.
    """

    prompt: int
    response: int
    sampled: int
    teacher_prompt: int | None
    validation_prompt: int

    @staticmethod
    def of(train: Sequence[Example], validation: Sequence[Example], config: Config) -> "Lengths":
        limit, method = config.data.max_response_length, config.method
        samples = method.samples_teacher or student_share(method) > 0
        responses = [len(ids) for example in train for ids in example.response_ids]
        teacher_prompts = [len(x.teacher_prompt_ids) for x in train if x.teacher_prompt_ids]
        return Lengths(
            prompt=max(len(example.prompt_ids) for example in train),
            response=limit if samples else max(responses),
            sampled=limit,
            teacher_prompt=max(teacher_prompts, default=None),
            validation_prompt=max(len(example.prompt_ids) for example in validation),
        )
