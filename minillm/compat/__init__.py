"""Code that uses private parts of libraries, or works around their faults.

The libraries are torch, Accelerate, DeepSpeed and huggingface_hub.

A new version of one of these libraries may need a change here and nowhere else.
"""
