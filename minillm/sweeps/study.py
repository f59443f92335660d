"""The study of a sweep: where it is stored, and what must not change when it continues."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from minillm.errors import InputError, first_line
from minillm.files import read_json, write_json
from minillm.sweeps.settings import Sweep, is_maximised

RECORD = "sweep.json"  # in the folder of a sweep: name and storage of the study
SPACE = "identity"  # the attribute of a study with `Sweep.identity`


def storage_url(storage: str, folder: Path) -> str:
    """The URL of a study, or the path of its journal file.

    Raises:
        InputError: the storage is neither a word nor a URL, or contains a password.
    """
    if storage == "sqlite":
        return f"sqlite:///{(folder / 'study.db').absolute()}"
    if storage == "journal":
        return str((folder / "study.journal").absolute())
    if storage.endswith(".journal"):
        return str(Path(storage).expanduser().absolute())
    try:
        url = make_url(storage)
    except ArgumentError as error:
        raise InputError(
            f"sweep.storage={storage} is not allowed: give sqlite, journal, FILE.journal, or the "
            f"URL of a database, such as postgresql://HOST/DATABASE."
        ) from error
    if url.password is not None:
        raise InputError(
            "sweep.storage contains a password, which other users can see. Leave it out, and give "
            "it by PGPASSWORD or ~/.pgpass."
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url.render_as_string()


def open_storage(url: str) -> BaseStorage:
    """Connect to the storage of a study.

    Raises:
        InputError: the database cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "://" not in url:
        try:
            return JournalStorage(JournalFileBackend(url))
        except OSError as error:
            raise InputError(
                f"the storage {url} cannot be used: {first_line(error)}. Correct sweep.storage."
            ) from error
    # A worker waits while others write, instead of failing at once.
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True} | options)
    except (SQLAlchemyError, ImportError) as error:
        raise InputError(
            f"the storage {url} cannot be used: {first_line(error)}. Correct sweep.storage, or "
            f"start the database."
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one worker at a time is in this context: of all workers that share the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_study(sweep: Sweep) -> Study:
    """The study of a sweep, created if it does not exist.

    Raises:
        InputError: the study varies other settings, or it is gone from the storage. The message
            names the differences.
    """
    url = storage_url(sweep.config.storage, sweep.folder)
    with locked(sweep.folder):
        record = read_json(sweep.folder / RECORD) or {}
        storage = _relative(url, sweep)
        name = record.get("study", sweep.name)  # the folder may have another name now
        if record.get("storage", storage) != storage:
            raise InputError(
                f"the sweep {sweep.name} was begun with sweep.storage={record['storage']}, not "
                f"{storage}. Continue with the old storage, or begin another sweep in another "
                f"output=FOLDER."
            )
        study = optuna.create_study(
            storage=open_storage(url), load_if_exists=True,
            study_name=name,
            directions=["maximize" if is_maximised(name) else "minimize"
                        for name in sweep.config.objectives],
        )  # fmt: skip
        saved = study.user_attrs.get(SPACE)
        if saved is not None:
            check_unchanged(saved, sweep)
        elif record:  # the runs in the folder belong to trials with other values
            raise InputError(
                f"the study of the sweep in {sweep.folder} is gone: its storage {storage} has no "
                f"such study. Restore the storage, or begin another sweep in another output=FOLDER."
            )
        else:
            study.set_user_attr(SPACE, sweep.identity())
        write_json(sweep.folder / RECORD, {"study": name, "storage": storage})
    return study


def load_study(folder: Path) -> Study:
    """The study of a folder that `open_study` has written.

    Raises:
        InputError: the folder is not that of a sweep, or its study is gone.
    """
    record = read_json(folder / RECORD)
    if not isinstance(record, dict):
        raise InputError(f"{folder} is not the folder of a sweep: it has no {RECORD}. Give the "
                         f"output=FOLDER of a `minillm sweep`.")  # fmt: skip
    storage = open_storage(storage_url(record["storage"], folder))
    try:
        return optuna.load_study(study_name=record["study"], storage=storage)
    except KeyError as error:
        raise InputError(
            f"the storage of {folder} has no study {record['study']}. Restore the storage."
        ) from error


def check_unchanged(saved: dict[str, Any], sweep: Sweep) -> None:
    """Refuse a sweep that varies other settings than before.

    Raises:
        InputError: the message lists these settings with their old and new values.
    """
    new = sweep.identity()
    changed = [
        f"{key} (was {saved.get(key, 'not given')}, now {new.get(key, 'not given')})"
        for key in dict.fromkeys([*saved, *new])
        if saved.get(key) != new.get(key)
    ]
    orders = [[key for key in each if key.startswith("space.")] for each in (saved, new)]
    if not changed and orders[0] != orders[1]:  # the points of a grid are numbered in this order
        changed = [f"the order of what varies (was {', '.join(orders[0])}, now "
                   f"{', '.join(orders[1])})"]  # fmt: skip
    if changed:
        raise InputError(
            f"the sweep {sweep.name} was begun with other settings: {'; '.join(changed)}. Continue "
            f"with the old values, or begin another sweep in another output=FOLDER."
        )


def _relative(url: str, sweep: Sweep) -> str:
    """The storage for the record: a word if the study is in the folder, which may be moved."""
    inside = {storage_url(word, sweep.folder): word for word in ("sqlite", "journal")}
    return inside.get(url, url)
