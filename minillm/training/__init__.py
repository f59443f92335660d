"""The training loop, checkpoints, sharded weights and tracking."""
