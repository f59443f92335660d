"""Sources, which yield the sequences of each training step."""
