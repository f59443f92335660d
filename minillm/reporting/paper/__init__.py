"""The tables and figures of the paper (arXiv 2306.08543) from result files: `minillm report paper`.

`models.py` finds the family, size, method and variant of each result. `tables.py`, `ablations.py`
and the files of figures make one table or figure each, and `report.py` writes all of them.
"""
