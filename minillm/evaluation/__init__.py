"""Scores of a model: responses, metrics and their statistics."""
