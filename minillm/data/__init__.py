"""From data sets to text, tokens and batches."""
