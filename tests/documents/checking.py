"""Checks that a command would start, without the work that it would do."""

import os
import re
import shutil
import subprocess
import tempfile
from argparse import ArgumentParser
from configparser import ConfigParser
from copy import deepcopy
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from omegaconf import DictConfig

from minillm import cli, compose
from minillm.commands.sweep import check_trials
from minillm.errors import InputError
from minillm.judging.settings import judge_settings
from minillm.pruning.settings import pruning_settings
from minillm.sweeps.settings import read_sweep
from minillm.system2.settings import read_study
from tests.documents.reading import ROOT, Command

# Prints its arguments, one per line, in place of Python.
FAKE_PYTHON = "#!/bin/sh\nprintf '%s\\n' \"$@\"\n"


class OptionsRead(Exception):
    """Raised after a module has read its options, in place of its work."""


def check(command: Command) -> None:
    """Check that the program, its files, its options and its settings exist.

    Raises:
        AssertionError, SystemExit, InputError: the command would be refused.
    """
    match command.words:
        case ["taskset", "-c", _, *rest]:
            check(replace(command, words=rest))
        case ["minillm", *rest] | ["python", "-m", "minillm", *rest]:
            check_minillm(rest)
        case ["pytest", path, *_] | ["python", "-m", "pytest", path, *_]:
            assert (ROOT / path).exists(), f"{command.page}: {path} does not exist"
        case ["python", "-m", module, *options]:
            check_module(module, options)
        case ["python", script, *options]:
            check_module(script.removesuffix(".py").replace("/", "."), options)
        case ["bash", "scripts/launch.sh", *rest]:
            check_minillm(launched(rest, command.environment))
        case ["source", ".venv/bin/activate"]:
            assert "-m venv .venv" in (ROOT / "scripts" / "install.sh").read_text("utf-8")
        case ["bash", script, *_]:
            subprocess.run(["bash", "-n", ROOT / script], check=True)
        case ["transformers", "serve", *_]:
            pass  # not a command of this project; tests/judging/test_serve.py starts it
        case ["pip", "install", "-e", package]:
            check_extra(package)
        case _:
            raise AssertionError(f"{command.page}: no check is known for the command {command}")


def check_minillm(words: list[str]) -> None:
    """Check verb, options and settings of `minillm`; `...` stands for further settings."""
    words = [word for word in words if word != "..."]
    if len(words) == 1 and words != ["train"]:  # the text names the verb, without its arguments
        try:
            cli.parse([*words, "--help"])
        except SystemExit as end:
            assert end.code == 0, f"minillm has no verb {words[0]}"
        return
    arguments = cli.parse(words)
    if arguments.verb == "prune":
        pruning_settings(arguments.pruning)
    if arguments.verb == "judge":
        judge_settings(arguments.settings)
    if arguments.verb == "system2":
        if arguments.step not in ("report", "corpus") and arguments.overrides:
            read_study(arguments.overrides)
        return
    if arguments.verb == "sweep" or getattr(arguments, "multirun", False):
        check_trials(read_sweep(arguments.overrides))
        return
    assert not (message := refusal(getattr(arguments, "overrides", []))), message


def check_module(module: str, options: list[str]) -> None:
    """Check that a module of `python -m` exists and reads the options."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    assert path.is_file(), f"python -m {module}: there is no file {path}"
    if not options:
        return
    assert "parse_args" in path.read_text("utf-8"), f"python -m {module} has no options"
    read = ArgumentParser.parse_args

    def stop(parser: ArgumentParser) -> None:
        read(parser, options)
        raise OptionsRead

    with patch.object(ArgumentParser, "parse_args", stop):
        try:
            import_module(module).main()
        except OptionsRead:
            return


def check_extra(package: str) -> None:
    """Check that setup.cfg defines the extra of `.[EXTRA]`."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extra = re.fullmatch(r"\.\[(\w+)\]", package)[1]
    assert extra in setup["options.extras_require"], f"setup.cfg has no extra {extra}"


def launched(words: list[str], variables: dict[str, str]) -> list[str]:
    """The arguments of `minillm` in each process that scripts/launch.sh starts.

    The script runs in a folder without .venv, and finds a program that prints its arguments in
    place of Python.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkout, program = Path(folder), Path(folder) / "bin" / "python"
        (checkout / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "launch.sh", checkout / "scripts")
        (checkout / "configs").symlink_to(ROOT / "configs")
        program.parent.mkdir()
        program.write_text(FAKE_PYTHON)
        program.chmod(0o755)
        # Without GPUs, the script takes every number of processes.
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""} | variables
        environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", checkout / "scripts" / "launch.sh", *words],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    arguments = done.stdout.splitlines()
    return arguments[arguments.index("minillm") + 1 :]


# Most of the time of `load_config` is in this function.
_compose = compose._compose


@cache
def _composed(picks: tuple[str, ...]) -> DictConfig:
    return _compose(picks)


def refusal(overrides: list[str]) -> str | None:
    """The message with which `minillm` refuses settings, or None if it accepts them."""
    with patch.object(compose, "_compose", lambda picks: deepcopy(_composed(tuple(picks)))):
        try:
            compose.load_config(overrides)
        except InputError as error:
            return str(error)
    return None
