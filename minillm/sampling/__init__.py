"""Responses drawn from a student, a teacher, or the mixture of both."""
