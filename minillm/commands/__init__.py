"""The verbs of the command `minillm`, and what they share."""
