"""An instruction-following data set that needs no download: small tasks in an invented world.

    from minillm.data.embedded import generate_records
    splits = generate_records(train=10_000, validation=500, test=500, seed=0)

`world` contains the vocabulary, `wording` the grammar of phrasings, and `families` one function
per kind of task. `generate` draws the splits and defines which tasks never occur in training.
"""

from minillm.data.embedded.generate import generate_records

__all__ = ["generate_records"]
