"""A teacher that is a weighted mixture of several frozen models."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from minillm.data.batches import SequenceBatch
from minillm.models.language_model import LanguageModel
from minillm.objectives.targets import MixtureTargets
from minillm.teachers.local import LocalTeacher
from minillm.teachers.teacher import Scores, Teacher


@dataclass(frozen=True)
class EnsembleTeacher(Teacher):
    """Scores tokens with a mixture of its members, see `MixtureTargets`.

    Attributes:
        members: the teachers; all have the student's tokenizer.
        weights: weights of the members, above 0, with the sum 1.
        geometric: whether the mixture is geometric; else it is arithmetic.
    """

    members: tuple[LocalTeacher, ...]
    weights: tuple[float, ...]
    geometric: bool = False

    @property
    def models(self) -> tuple[LanguageModel, ...]:
        return tuple(member.model for member in self.members)

    @property
    def sampler(self) -> None:
        return None

    def score(self, sequences: SequenceBatch, layers: Sequence[int] = ()) -> Scores:
        if layers:
            raise ValueError("an ensemble has no hidden states: give a single teacher")
        parts = [member.score(sequences).targets for member in self.members]
        return Scores(MixtureTargets(parts, self.weights, self.geometric))

    def exact(self) -> "EnsembleTeacher":
        return replace(self, members=tuple(member.exact() for member in self.members))

    @contextmanager
    def whole(self) -> Iterator["EnsembleTeacher"]:
        with ExitStack() as stack:
            members = [stack.enter_context(member.whole()) for member in self.members]
            yield replace(self, members=tuple(members))

    def replace_models(self, change: Callable[[LanguageModel], LanguageModel]) -> "EnsembleTeacher":
        members = tuple(member.replace_models(change) for member in self.members)
        return replace(self, members=members)
