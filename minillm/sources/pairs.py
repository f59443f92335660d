"""The source of existing sequences: shuffled pairs of a prompt and a response."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.data.encoding import Example
from minillm.sources.shuffled import Shuffled
from minillm.sources.source import SourceStep, TrainingBatch
from minillm.training.setup import Setup


class Pair(NamedTuple):
    """Token ids of a prompt, of a response, and of the teacher's prompt if that is another one."""

    prompt_ids: list[int]
    response_ids: list[int]
    teacher_prompt_ids: list[int] | None = None


def gold_pairs(examples: Sequence[Example]) -> list[Pair]:
    """One pair per prompt and reference."""
    return [
        Pair(example.prompt_ids, response, example.teacher_prompt_ids)
        for example in examples
        for response in example.response_ids
    ]


def pad_pairs(pairs: Sequence[Pair], pad_id: int) -> TrainingBatch:
    """Pad pairs to a batch. Either all pairs have a teacher's prompt, or no pair has one."""
    prompts, responses, teacher_prompts = zip(*pairs, strict=True)
    sequences = SequenceBatch.pad(list(zip(prompts, responses, strict=True)), pad_id)
    if teacher_prompts[0] is None:
        return TrainingBatch(sequences)
    return TrainingBatch(sequences, PromptBatch.pad(teacher_prompts, pad_id))


class PairSource:
    """Yields batches of pairs, for all methods that train on given sequences."""

    state_is_shared = True
    steps_per_collection = 1

    def __init__(
        self, pairs: Sequence[Pair], setup: Setup, *, batch_size: int, purpose: str = "pairs"
    ) -> None:
        self.pairs = pairs
        self.pad_id = setup.student.pad_id
        self.epoch_size = len(pairs)
        self.indices = Shuffled(
            len(pairs), batch_size, seed=setup.seed(purpose), rank=setup.rank, world=setup.world
        )

    def __iter__(self) -> Iterator[SourceStep]:
        for indices in self.indices:
            yield SourceStep(pad_pairs([self.pairs[i] for i in indices], self.pad_id))

    def state_dict(self) -> dict[str, Any]:
        return self.indices.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.indices.load_state_dict(state)
