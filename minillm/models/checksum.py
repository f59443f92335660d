"""A checksum of the weights of a model: the same in another folder, different after training."""

import hashlib
from pathlib import Path

from transformers.utils import CONFIG_NAME, cached_file

from minillm.models.loadable import not_loadable, weight_files

# A file of up to this number of bytes is read as a whole. Of a larger file, `PARTS` parts are read,
# evenly spaced from its first to its last byte, so that a model of 13B parameters takes a second.
# Training changes nearly all weights, so it changes the parts too.
WHOLE = 64 * 2**20
PARTS, PART = 1024, 64 * 2**10


def weights_checksum(path: str, revision: str | None = None) -> str:
    """A checksum of the files with the weights of a folder or Hub name.

    The checksum depends on the order of the files' names, but not on the names or the folder. The
    same weights in another precision, or divided into other files, have another checksum.

    Raises:
        InputError: there are no such files in the folder, or in the cache of the Hub.
    """
    checksum = hashlib.sha256()
    try:
        folder = Path(path)
        if not folder.is_dir():
            folder = Path(cached_file(path, CONFIG_NAME, revision=revision)).parent
        for file in weight_files(folder):
            _add(checksum, file)
    except OSError as error:
        raise not_loadable(path, error, revision) from error
    return checksum.hexdigest()[:16]


def _add(checksum, file: Path) -> None:
    """Add the size of a file, and its content or parts of its content, to the checksum."""
    size = file.stat().st_size
    checksum.update(f"{size} ".encode())
    with file.open("rb") as content:
        if size <= WHOLE:
            checksum.update(content.read())
            return
        for number in range(PARTS):
            content.seek((size - PART) * number // (PARTS - 1))
            checksum.update(content.read(PART))
