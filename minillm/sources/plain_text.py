"""The source of L_PT: blocks of plain text, see `data/plain_text.py`."""

from collections.abc import Sequence

from minillm.data.plain_text import PlainText
from minillm.sources.pairs import Pair, PairSource
from minillm.training.setup import Setup


class BlockPairs(Sequence[Pair]):
    """Blocks as pairs, read from the file one at a time.

    The first token of a block is its prompt, so that the loss is on the other tokens, as in the
    official code: a block may begin in the middle of a document.
    """

    def __init__(self, plain_text: PlainText) -> None:
        self.ids = plain_text.ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Pair:
        block = self.ids[index].tolist()
        return Pair(block[:1], block[1:])


def plain_text_source(setup: Setup) -> PairSource:
    """The source of blocks of plain text."""
    batch_size = setup.config.method.lm_batch_size
    return PairSource(
        BlockPairs(setup.plain_text), setup, batch_size=batch_size, purpose="plain text"
    )
