"""The files of configs/: their groups, and the line that describes each file."""

import re
from pathlib import Path

import yaml

SETTINGS_SUFFIXES = (".yaml", ".yml")  # of a file of settings, see settings_file.py

# The groups that `minillm list` prints, by the names of the command line.
GROUP_NAMES = {
    "experiments": "experiment",
    "methods": "method",
    "data": "data",
    "models": "model",
    "runtimes": "runtime",
    "sweeps": "sweep",
    "system2": "system2",
}
# Folders of configs/ that hold no settings of a run: files for `accelerate launch`, and settings of
# `minillm sweep` and `minillm system2`.
OTHER_FOLDERS = ("accelerate", "sweep", "system2")


def configs_folder() -> Path:
    """The folder configs/: in the package if a wheel is installed, else beside the package."""
    package = Path(__file__).parents[1]
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


CONFIGS = configs_folder()


def groups() -> dict[str, list[str]]:
    """The files of each config group: {"method": ["kd", ...], ...}."""
    folders = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir())
    files = {folder: files_of(folder) for folder in folders if folder not in OTHER_FOLDERS}
    return {folder: names for folder, names in files.items() if names}


def files_of(folder: str) -> list[str]:
    """The files in a folder of configs/, such as `embedded/kd` in `experiment`."""
    paths = [path.relative_to(CONFIGS / folder).with_suffix("")
             for path in sorted((CONFIGS / folder).rglob("*.yaml"))]  # fmt: skip
    return [path.as_posix() for path in paths if not path.name.startswith("_")]  # _: shared


def sweeps() -> list[str]:
    """The files of configs/sweep."""
    return files_of("sweep")


def group_file(group: str, name: str) -> Path:
    """The file of a group, such as configs/method/kd.yaml."""
    return CONFIGS / group / f"{name}.yaml"


def description(path: Path) -> str:
    """The first sentence of the comment at the start of a yaml file, without its full stop.

    A full stop before a small letter or a number, as in `et al. 2017`, ends no sentence.
    """
    comments = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            comments.append(line.removeprefix("#").strip())
    return re.split(r"\.(?:\s+(?=[A-Z])|$)", " ".join(comments), maxsplit=1)[0]


def presets(schema: str) -> list[str]:
    """The methods whose file in configs/method uses this schema."""
    files = sorted((CONFIGS / "method").glob("*.yaml"))
    contents = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    return [name for name, file in contents.items() if f"schema_{schema}" in file["defaults"]]
