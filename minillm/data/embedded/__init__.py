"""An instruction-following data set that needs no download: small tasks from an invented world.

    from minillm.data.embedded import generate_records
    splits = generate_records(train=10_000, validation=500, test=500, seed=0)

`world` holds the vocabulary, `wording` the grammar of phrasings, `families` one function per kind
of task, and `generate` draws the splits and says what they hold out from training.
"""

from minillm.data.embedded.generate import generate_records

__all__ = ["generate_records"]
