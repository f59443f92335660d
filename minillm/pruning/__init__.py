"""Smaller models from a model, by dropping decoder layers, hidden units and attention heads."""
