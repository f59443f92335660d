"""Ends the waiting for a Hugging Face Hub that cannot be reached.

Without a network, the libraries repeat each request five times and wait up to eight seconds before
each: a misspelt name is answered after 48 seconds (huggingface_hub 2.4). Here one short request
finds out whether the Hub answers. If it does not, `HF_HUB_OFFLINE` is set for this process, so that
the libraries read their caches and answer at once. They have no public function for this.
"""

import logging
import sys
from functools import cache
from pathlib import Path

from huggingface_hub import constants, get_session, is_offline_mode

from minillm.errors import first_line

log = logging.getLogger(__name__)

TIMEOUT = 3.0  # seconds


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
