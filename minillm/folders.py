"""Folders of models and runs that the user names: whether a name is a folder, and near names."""

import os
from difflib import get_close_matches
from pathlib import Path

from minillm.errors import InputError


def expand_home(path: str) -> str:
    """A path in which `~` at the start is replaced by the home folder."""
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path


def names_a_folder(name: str) -> bool:
    """Whether a name cannot be a Hub name, which is NAME or OWNER/NAME."""
    parts = Path(name).parts
    return len(parts) > 2 or name[:1] in "./~" or (len(parts) == 2 and Path(parts[0]).is_dir())


def missing_folder(name: str, allowed: str, *, setting: str = "") -> InputError:
    """The error for a folder that does not exist. The message names the nearest folder.

    Args:
        name: the folder.
        allowed: what may be given instead, such as `the folder of a model, or a Hub name`.
        setting: the setting that names the folder; empty for an argument of the command.
    """
    start = f"{setting}={name}" if setting else name
    near = near_folders(name)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return InputError(f"{start}: there is no such folder.{hint} Give {allowed}.")


def near_folders(name: str) -> list[str]:
    """Up to two existing folders beside `name` whose names are nearly the same.

    If the folder in which `name` would lie is itself misspelt, the folders near to that folder.
    """
    path = Path(name)
    parent = path.parent
    if not parent.is_dir():
        candidates = [Path(near) / path.name for near in near_folders(str(parent))]
        return [str(folder) for folder in candidates if folder.is_dir()]
    try:
        names = [entry.name for entry in parent.iterdir() if entry.is_dir()]
    except OSError:
        return []
    return [str(parent / near) for near in get_close_matches(path.name, names, n=2)]
