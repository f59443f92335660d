"""Word-level KD: data, forward KL and gold tokens, this token (paper, appendix B.1: half each)."""

from minillm.methods.pairs import pairs_of
from minillm.methods.setup import Setup
from minillm.methods.supervised import Supervised


def kd(setup: Setup) -> Supervised:
    """Forward KL to the teacher along the gold responses, mixed with their cross-entropy."""
    return Supervised(setup, pairs_of(setup.train), setup.config.method.kd_ratio)
