"""Scores of a language model that reads responses: its questions, its answers, statistics."""
