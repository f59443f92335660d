"""Everything that a method is built from."""

from dataclasses import dataclass
from pathlib import Path

import torch

from minillm.config import Config
from minillm.data.encoding import Example
from minillm.models.language_model import LanguageModel
from minillm.teachers.teacher import Teacher


@dataclass(frozen=True)
class Setup:
    """The models, the data, and the place of this process among all processes.

    Attributes:
        config: the settings of the whole command.
        student: on `device`, not wrapped; see `LanguageModel.whole`.
        teacher: None if no teacher is named.
        train: the training split.
        device: of this process.
        rank: of this process, from 0.
        world: number of processes.
        output: the folder of the run.
        shared_tokenizer: whether the teacher has the student's tokenizer. Without, the teacher can
            write text for the student, but cannot score the student's tokens.
    """

    config: Config
    student: LanguageModel
    teacher: Teacher | None
    train: list[Example]
    device: torch.device
    rank: int
    world: int
    output: Path
    shared_tokenizer: bool = True

    def seed(self, purpose: str) -> int:
        """A seed for each purpose, the same on every machine and process."""
        digest = sum((i + 1) * byte for i, byte in enumerate(purpose.encode()))
        return self.config.runtime.seed * 1_000_003 + digest

    def generator(self, purpose: str) -> torch.Generator:
        """A generator that only this process has."""
        seed = self.seed(purpose) + 7919 * self.rank
        return torch.Generator(self.device).manual_seed(seed)
