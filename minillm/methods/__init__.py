"""Methods, built from sources, losses and a teacher. `build_method` builds the configured one."""

from minillm.methods.build import build_method, check_method
from minillm.methods.method import Method

__all__ = ["Method", "build_method", "check_method"]
