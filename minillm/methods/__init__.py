"""The methods: each picks a source of sequences, a divergence and a rule of credit.

A new one is a settings class in `minillm/config.py`, a small file here, a line in `METHODS` and a
yaml in `configs/method/`.
"""

from minillm.methods.kd import kd
from minillm.methods.minillm import MiniLLM
from minillm.methods.seqkd import seqkd
from minillm.methods.setup import Setup
from minillm.methods.sft import sft
from minillm.training.method import Method

METHODS = {"sft": sft, "kd": kd, "seqkd": seqkd, "minillm": MiniLLM}
NEED_TEACHER = {"kd", "seqkd", "minillm"}


def build_method(setup: Setup) -> Method:
    """The method that the configuration names."""
    return METHODS[setup.config.method.name](setup)


__all__ = ["METHODS", "NEED_TEACHER", "Method", "Setup", "build_method"]
