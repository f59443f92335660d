"""Version and git revision of the code."""

import subprocess
from pathlib import Path

from minillm import __version__


def git_state() -> tuple[str | None, bool | None]:
    """Revision of the code, and whether files have changed since; None outside a checkout."""
    file = Path(__file__)

    def git(*command: str) -> str:
        return subprocess.run(
            ["git", "-C", str(file.parent), *command], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        # An installed package may lie inside the checkout of another project.
        git("ls-files", "--error-unmatch", file.name)
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def version_text() -> str:
    """Such as `minillm 0.1.0 (revision 0123456789ab, changed since)`."""
    revision, is_changed = git_state()
    if revision is None:
        return f"minillm {__version__}"
    return f"minillm {__version__} (revision {revision[:12]}{', changed since' * is_changed})"
