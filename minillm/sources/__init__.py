"""Sources: where the sequences of a training step come from."""
