"""Bars in a terminal, and log lines without a terminal."""

import logging
import re
from types import SimpleNamespace

import pytest

from minillm import progress
from minillm.progress import Progress, begin_part, count_responses, responses_shown, shown


@pytest.fixture
def clock(monkeypatch):
    """The time of `progress`, in seconds; tests set it."""
    clock = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.seconds)
    return clock


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Stderr counts as a terminal; calling the fixture returns its text."""
    monkeypatch.setattr(progress, "_can_draw", lambda: True)
    return lambda: capsys.readouterr().err


def test_without_a_terminal_a_line_appears_every_30_seconds(clock, caplog):
    caplog.set_level(logging.INFO, "minillm")
    work = Progress("run", 100, "steps", 10, values={"loss": 1.25})
    with shown(work):
        for _ in range(61):
            clock.seconds += 1
            work.advance()
    assert [record.getMessage() for record in caplog.records] == [
        "run: 40 of 100 steps (40%), 1 min 00 s left, 1 steps/s, loss 1.25",
        "run: 70 of 100 steps (70%), 30 s left, 1 steps/s, loss 1.25",
    ]


def test_a_terminal_shows_a_bar_and_no_lines(terminal, caplog):
    caplog.set_level(logging.INFO, "minillm")
    work = Progress("run", 4, "steps", values={"loss": 1.25}, estimate=lambda done: (2.0, 90.0))
    with shown(work, leave=True):
        work.advance(4)
    last = terminal().split("\r")[-1]
    assert re.match(r"run: 100%\|.*\| 4/4 \[.*, 1 min 30 s left, 2 steps/s, loss 1.25\]", last)
    assert not caplog.records


def test_processes_that_log_no_messages_show_nothing(terminal, caplog, clock):
    caplog.set_level(logging.WARNING, "minillm")  # as processes other than the main process
    work = Progress("run", 4, "steps")
    with shown(work):
        clock.seconds += 100
        work.advance(4)
    assert not terminal() and not caplog.records


def test_responses_count_for_the_innermost_work(clock, caplog):
    caplog.set_level(logging.INFO, "minillm")
    count_responses(1)  # no work is shown
    with responses_shown("outer", 10) as outer:
        begin_part("seed 1")
        with responses_shown("inner", 4) as inner:
            count_responses(3)
            count_responses(3)
        count_responses(2)
    assert (outer.done, inner.done) == (2, 4) and outer.title == "outer, seed 1"
