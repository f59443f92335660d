"""The Hugging Face Hub: no waiting if it cannot be reached, and a record of what was read.

Without a network, the libraries repeat each request five times and wait up to eight seconds before
each: a misspelt name is answered after 48 seconds (huggingface_hub 2.4). Here one short request
finds out whether the Hub answers. If it does not, `HF_HUB_OFFLINE` is set for this process, so that
the libraries read their caches and answer at once. They have no public function for this.

The content of a Hub name changes with time. So this file notes the commit of each model and data
set that the process reads; `runs.provenance` stores them.
"""

import logging
import re
import sys
from functools import cache
from pathlib import Path

from huggingface_hub import constants, get_session, is_offline_mode, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

from minillm.errors import InputError, first_line

log = logging.getLogger(__name__)

TIMEOUT = 3.0  # seconds
# OSError, and the error of the HTTP library, which depends on the version of huggingface_hub.
REQUEST_ERRORS = HfHubHTTPError.__bases__
COMMIT = re.compile(r"[0-9a-f]{40}")
_commits: dict[str, str] = {}  # of the repositories that this process has read


def prepare(name: str) -> None:
    """Read only caches from now on, if `name` is not a local path and the Hub does not answer."""
    if not Path(name).exists():
        _prepare()


@cache
def _prepare() -> None:
    if is_offline_mode():
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except Exception as error:  # the exceptions depend on the HTTP library of huggingface_hub
        log.warning(
            "%s cannot be reached (%s), so only downloaded models and data are available",
            constants.ENDPOINT,
            first_line(error),
        )
        constants.HF_HUB_OFFLINE = True
        if "datasets" in sys.modules:  # it copies the constant when it is imported
            sys.modules["datasets"].config.HF_HUB_OFFLINE = True


def is_reachable() -> bool:
    """Whether the Hub may be used, and answers."""
    _prepare()
    return not is_offline_mode()


def absence(name: str, error: Exception, revision: str | None = None) -> str:
    """Why a model could not be read, for a message: it is not in the cache, or the error.

    Args:
        name: a Hub name, or a folder.
        error: the error of a library.
        revision: the revision that was asked for.
    """
    if not isinstance(error, OSError) or Path(name).exists() or not is_offline_mode():
        return first_line(error)
    option = f" --revision {revision}" if revision else ""
    return (
        f"it is not in the cache, and the Hub is not used: HF_HUB_OFFLINE is set, or the Hub "
        f"cannot be reached. If {name} is a Hub name, run `hf download {name}{option}` on a "
        f"machine with a network and this cache"
    )


def note_model(name: str, revision: str | None, file: str) -> None:
    """Note the commit of a model from whose cached snapshot `file` was read."""
    if Path(name).exists():
        return
    found = try_to_load_from_cache(name, file, revision=revision)
    if isinstance(found, str):
        _commits[key(name, revision)] = Path(found).parent.name


def note_data(name: str, revision: str | None, parts: tuple[str, ...]) -> None:
    """Note the commit of a data set.

    Args:
        name: its Hub name.
        revision: the revision that was asked for.
        parts: of the path in a cache at which the data lie; one of them is the commit.

    Raises:
        InputError: the data in the cache are those of another commit than `revision`.
    """
    commit = next(filter(COMMIT.fullmatch, parts), None)
    if commit is None:
        return
    if revision and COMMIT.fullmatch(revision) and commit != revision:
        raise InputError(
            f"data.revision={revision} of {name!r} is not in the cache, which has the commit "
            f"{commit}. Use a machine with a network, or set data.revision={commit}."
        )
    _commits[key(f"datasets/{name}", revision)] = commit


def commits() -> dict[str, str]:
    """The commits that this process has read, by `NAME`, `NAME@REVISION` or `datasets/NAME`."""
    return dict(_commits)


def key(name: str, revision: str | None) -> str:
    """The name of a repository in `commits`."""
    return f"{name}@{revision}" if revision else name
