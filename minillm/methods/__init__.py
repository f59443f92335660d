"""Methods: presets over sources, losses and teachers. `build_method` makes the configured one."""

from minillm.methods.build import build_method, check_method
from minillm.methods.method import Method

__all__ = ["Method", "build_method", "check_method"]
