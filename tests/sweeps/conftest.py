"""Words of sweeps whose trainings take no time."""

import sys
from pathlib import Path

import pytest

FAKE = f"sweep.launcher={sys.executable} {Path(__file__).parent / 'fake_training.py'}"


@pytest.fixture
def words() -> list[str]:
    """A sweep of four steps per trial, without what varies and without a folder."""
    return ["experiment=embedded/sft", "training.steps=4", FAKE]
