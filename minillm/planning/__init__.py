"""What a training would need, computed without weights: memory, passes, tokens and time."""
