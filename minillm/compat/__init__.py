"""Code that uses private parts of torch, Accelerate and DeepSpeed, or works around their faults.

A new version of one of these libraries may need a change here and nowhere else.
"""
