"""The models, data and settings from which a method is built."""

from dataclasses import dataclass
from pathlib import Path

import torch

from minillm.config import Config
from minillm.data.encoding import Example
from minillm.data.plain_text import PlainText
from minillm.models.language_model import LanguageModel
from minillm.teachers.teacher import Teacher


@dataclass(frozen=True)
class Setup:
    """The models, the data, and the rank of this process.

    Attributes:
        config: the settings of the whole command.
        student: the student on `device`, not wrapped; see `LanguageModel.whole`.
        teacher: the teacher; None if the settings name no teacher.
        train: the training split.
        device: the device of this process.
        rank: the number of this process, from 0.
        world: number of processes.
        output: the folder of the run.
        shared_tokenizer: whether the teacher has the student's tokenizer. If not, the teacher can
            write text for the student, but cannot score the student's tokens.
        plain_text: the blocks of L_PT; None without L_PT, and in a dry run.
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
    plain_text: PlainText | None = None

    def seed(self, purpose: str) -> int:
        """The seed of a purpose. The seed is the same on every machine and process."""
        digest = sum((i + 1) * byte for i, byte in enumerate(purpose.encode()))
        return self.config.runtime.seed * 1_000_003 + digest

    def generator(self, purpose: str) -> torch.Generator:
        """The random generator of a purpose. Its seed differs between processes."""
        seed = self.seed(purpose) + 7919 * self.rank
        return torch.Generator().manual_seed(seed)
