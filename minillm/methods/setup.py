"""Everything that a method is built from."""

from dataclasses import dataclass
from pathlib import Path

import torch

from minillm.config import Config
from minillm.data.encoding import Example
from minillm.models.language_model import LanguageModel


@dataclass(frozen=True)
class Setup:
    """The models, the data and this process's place among all.

    Attributes:
        config: the whole command's settings.
        student: unwrapped, on `device`; see `LanguageModel.whole`.
        teacher: frozen, on `device`, likewise; None where none is named.
        train: the training split.
        device: of this process.
        rank: of this process, from 0.
        world: number of processes.
        output: the run's folder.
    """

    config: Config
    student: LanguageModel
    teacher: LanguageModel | None
    train: list[Example]
    device: torch.device
    rank: int
    world: int
    output: Path

    def seed(self, purpose: str) -> int:
        """A seed of its own for each use of chance, the same on every machine."""
        digest = sum((i + 1) * byte for i, byte in enumerate(purpose.encode()))
        return self.config.runtime.seed * 1_000_003 + digest

    def generator(self, purpose: str) -> torch.Generator:
        """A generator for this process alone."""
        seed = self.seed(purpose) + 7919 * self.rank
        return torch.Generator(self.device).manual_seed(seed)
