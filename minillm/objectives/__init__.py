"""The equations, as pure functions of tensors; start with `minillm.py`."""
