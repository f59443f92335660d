"""Reads the settings of `minillm system2`: a file of configs/system2, and words.

    minillm system2 generate MODEL system2=last_letters system2.samples=8 output=FOLDER

`system2.KEY=value` is a setting of System 2. All other words are settings of the model.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from minillm.config import SEED, ServerConfig
from minillm.errors import InputError, first_line, unknown_name
from minillm.folders import expand_home
from minillm.servers.limits import check_prices
from minillm.settings.named_file import read_named_file
from minillm.settings.overrides import parse_override
from minillm.settings.rules import check_rules, flatten, setting, settings_of
from minillm.system2.extractors import EXTRACTORS, Extractor
from minillm.system2.filters import FILTERS
from minillm.system2.programs import JUDGES, PROGRAMS
from minillm.system2.tasks import TASKS

PREFIX = "system2."


@dataclass
class System2ServerConfig(ServerConfig):
    """A server that answers in place of MODEL. If `model` is null, MODEL answers."""

    section = "system2.server"
    asks_less = "system2.train_questions=N, system2.test_questions=N or system2.samples=N"

    max_calls: int | None = setting(20000, at_least=0)
    cache: str = "runs/system2_cache.jsonl"


@dataclass
class System2Config:
    """What is asked, by which program, and which answers are kept."""

    # The questions: a task that the project makes, or a folder with train.jsonl and test.jsonl.
    task: str | None = setting(None, choices=tuple(TASKS))
    path: str | None = None
    # The numbers of questions of a task. Of a folder, at most so many questions are read: the first
    # ones.
    train_questions: int = setting(2000, at_least=1)
    test_questions: int = setting(400, at_least=1)
    # How the model answers slowly, and how an answer is found in its text; null: as the task says.
    program: str | None = setting(None, choices=tuple(PROGRAMS))
    extractor: str | None = setting(None, choices=tuple(EXTRACTORS))
    # Responses per training question, and the temperature at which they are sampled. Test questions
    # are answered once, with the most likely tokens.
    samples: int = setting(8, at_least=1)
    temperature: float = setting(1.0, above=0)
    # Which answers are kept for training (system2/filters.py), and the share of all samples that
    # the most frequent answer needs.
    filter: str = setting("majority", choices=FILTERS)
    least_share: float = setting(0.5, at_least=0, at_most=1)
    seed: int = setting(1, **SEED)  # of questions and responses
    server: System2ServerConfig = setting(System2ServerConfig())
    # Of a trained or evaluated model in tables. null: the name of the model and of the program.
    name: str | None = None

    @property
    def find(self) -> Extractor:
        """Finds the answer in a response."""
        return EXTRACTORS[self.extractor]


@dataclass(frozen=True)
class Study:
    """The settings of a command.

    Attributes:
        config: the settings of System 2, without nulls for program and extractor.
        folder: holds everything that is made for one task.
        words: settings of the model.
    """

    config: System2Config
    folder: Path
    words: list[str]

    @property
    def name(self) -> str:
        """The name of the task in tables: that of the task, or of the folder of the questions."""
        return self.config.task or Path(self.config.path).resolve().name


def read_study(words: Sequence[str]) -> Study:
    """The settings of a command line.

    Raises:
        InputError: a setting is unknown or not allowed, or settings are missing.
    """
    name, output, own, others = None, None, [], []
    for text in words:
        key, _, value = text.partition("=")
        if key == "system2":
            name = value
        elif key == "output":
            output = expand_home(value)
        else:
            (own if key.startswith(PREFIX) else others).append(text)
    config = _typed(read_named_file("system2", name) if name else {}, own)
    study = Study(config, Path(output or ""), others)
    return study if output else replace(study, folder=Path("runs/system2") / study.name)


def _typed(content: dict, words: Sequence[str]) -> System2Config:
    known = [each.key for each in settings_of(System2Config())]
    entries = [(key, value, f"{key}: {value}") for key, value in flatten(content).items()]
    for text in words:
        override = parse_override(text, {})
        entries.append((override.key.removeprefix(PREFIX), override.value, text))
    config = OmegaConf.structured(System2Config)
    for key, value, text in entries:
        if not any(f"{key}.".startswith(f"{name}.") for name in known):
            raise unknown_name("setting of system2", key, known)
        try:
            OmegaConf.update(config, key, value)
        except OmegaConfBaseException as error:
            raise InputError(
                f"{text}: {first_line(error)}. docs/system2.md explains the settings."
            ) from error
    typed = OmegaConf.to_object(config)
    check_rules(typed, PREFIX)
    check_prices(typed.server)
    if typed.name is not None and not re.fullmatch(r"\w[\w.-]*", typed.name):
        raise InputError(
            f"system2.name={typed.name} is not allowed, because the names of files are made of it. "
            f"Give letters, digits, '_', '-' and '.' only."
        )
    return _complete(typed)


def _complete(config: System2Config) -> System2Config:
    """Fill in what the task says, and refuse what does not fit together."""
    if (config.task is None) == (config.path is None):
        raise InputError(
            "the questions are not named, or named twice. Give system2=NAME for a task of "
            "`minillm list system2`, or system2.path=FOLDER for questions of your own."
        )
    if config.path is not None:
        missing = [name for name in ("program", "extractor") if getattr(config, name) is None]
        if missing:
            raise InputError(
                f"system2.path={config.path} needs "
                f"{' and '.join(f'system2.{name}=NAME' for name in missing)}, because only the "
                f"tasks of the project have defaults."
            )
        return config
    task = TASKS[config.task]
    config.program = config.program or task.program
    config.extractor = config.extractor or task.extractor
    if config.program in JUDGES and task.extractor != "choice":
        raise InputError(
            f"system2.program={config.program} compares two candidates, which the questions of "
            f"system2.task={config.task} do not have. Give another program."
        )
    return config
