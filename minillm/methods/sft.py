"""SFT: data, gold tokens, this token. Trains teachers, baselines and MiniLLM's phase 1."""

from minillm.methods.pairs import pairs_of
from minillm.methods.setup import Setup
from minillm.methods.supervised import Supervised


def sft(setup: Setup) -> Supervised:
    """Cross-entropy on the gold responses."""
    return Supervised(setup, pairs_of(setup.train))
