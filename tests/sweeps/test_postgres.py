"""Workers that share a study on a real PostgreSQL, as on a journal file (test_workers.py)."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.sweeps.test_workers import check_workers

# The folders of Debian's packages, the newest version first.
FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def program(name: str) -> str | None:
    places = [os.environ["PATH"], *map(str, FOLDERS)]
    return shutil.which(name, path=os.pathsep.join(places))


def server_user() -> str | None:
    """PostgreSQL refuses to run as root; then the user of Debian's package runs it."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@pytest.fixture
def database():
    """The URL of an empty database of a server that runs on a free port during the test."""
    pytest.importorskip("psycopg")
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL is not installed: there is no initdb and postgres")
    user = server_user()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="minillm-postgres-") as name:
        if user:
            shutil.chown(name, user)
        options = {"user": user, "cwd": name, "stdout": subprocess.DEVNULL}
        subprocess.run([initdb, "-D", f"{name}/data", "-A", "trust", "-U", "minillm", "-N"],
                       check=True, **options)  # fmt: skip
        server = subprocess.Popen(
            [postgres, "-D", f"{name}/data", "-p", str(port), "-h", "127.0.0.1", "-k", name, "-F"],
            stderr=subprocess.DEVNULL, **options,
        )  # fmt: skip
        try:
            wait_for_server(port, server)
            yield f"postgresql://minillm@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # does not wait for clients
            server.wait(30)


def wait_for_server(port: int, server: subprocess.Popen) -> None:
    import psycopg

    for _ in range(600):
        assert server.poll() is None, "PostgreSQL has ended"
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=minillm dbname=postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError("PostgreSQL does not answer")


@pytest.mark.postgres
@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_workers_share_a_database_and_one_is_killed(
    database, tmp_path, monkeypatch, words, workers
):
    monkeypatch.chdir(tmp_path)
    check_workers(tmp_path, [*words, f"sweep.storage={database}"], workers)
