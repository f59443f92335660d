"""How the command answers wrong input: one module of cases for each part of the command."""
