"""The verbs of the command `minillm`, and the code that they share."""
