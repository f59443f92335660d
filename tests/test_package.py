"""A wheel of the checkout holds the whole package and runs in any folder, without the checkout."""

import os
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from minillm import __version__
from minillm.version import git_state

ROOT = Path(__file__).parents[1]


def tracked(*folders: str) -> list[str]:
    """The files of the git index that exist in the checkout."""
    names = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", *folders], capture_output=True, text=True, check=True
    ).stdout.split("\0")[:-1]
    return [name for name in names if (ROOT / name).is_file()]


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of the checkout, because the build writes into its source."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE",
                        "minillm", "configs"):  # fmt: skip
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", output, source)
    return next(output.glob("minillm-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", folder, wheel)
    return folder


def test_the_wheel_holds_all_files(wheel):
    names = {name for name in ZipFile(wheel).namelist() if name.startswith("minillm/")}
    assert names == {
        re.sub("^configs/", "minillm/configs/", name) for name in tracked("minillm", "configs")
    }


def test_an_installed_wheel_runs_from_any_folder(installed, teacher, settings, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    files_before = sorted(installed.rglob("*"))

    def start(*arguments: object) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best"]
    paths = "import minillm, minillm.compose as c; print(minillm.__file__, c.CONFIGS, sep='\\n')"
    module = ["-m", "minillm"]
    processes = [
        start("-c", paths),
        start(*module, "--version"),
        start(*module, "--help"),
        start(*module, "data", "data=embedded"),
        start(*module, "train", "experiment=embedded/minillm", *settings, *models, "output=out",
              "method.rollouts_per_collection=4"),
    ]  # fmt: skip
    outputs = [process.communicate()[0] for process in processes]
    for process, text in zip(processes, outputs, strict=True):
        assert process.returncode == 0, text
    package = installed / "minillm"
    assert outputs[0].splitlines() == [str(package / "__init__.py"), str(package / "configs")]
    assert outputs[1] == f"minillm {__version__}\n"
    assert "experiment=embedded/minillm" in outputs[2]
    assert "train: 10000 inputs" in outputs[3]
    assert (tmp_path / "out" / "summary.json").is_file(), outputs[4]
    assert sorted(installed.rglob("*")) == files_before


def test_the_version_names_the_revision(command):
    revision, is_changed = git_state()
    text = command("--version").out
    assert text.startswith(f"minillm {__version__}")
    if revision:
        assert f"revision {revision[:12]}" in text and ("changed" in text) == is_changed
