"""Uses of private parts of torch, Accelerate and DeepSpeed, and of their faults; each has a reason.

A new version of a library may need a change here and nowhere else.
"""
