"""Code that uses private parts of libraries, or works around their faults.

The libraries are torch, Accelerate, DeepSpeed, huggingface_hub and Optuna.

A new version of one of these libraries may need a change here and nowhere else.
"""
