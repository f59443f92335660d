"""Seconds that a run spends in each phase. The times before and after a stop are added."""

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator


class Clock:
    """Adds up the seconds of each phase.

    Attributes:
        total: seconds of each phase since the start of the run.
        taken: `total` at the last call of `take`.
    """

    def __init__(self) -> None:
        self.total: defaultdict[str, float] = defaultdict(float)
        self.taken: Counter[str] = Counter()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds inside the context to the phase `name`."""
        start = time.perf_counter()
        yield
        self.total[name] += time.perf_counter() - start

    def take(self) -> dict[str, float]:
        """Seconds of each phase since the last call of `take`."""
        passed = {name: self.total[name] - self.taken[name] for name in self.total}
        self.taken = Counter(self.total)
        return passed

    def state_dict(self) -> dict[str, dict[str, float]]:
        return {"total": dict(self.total), "taken": dict(self.taken)}

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        self.total.update(state["total"])
        self.taken.update(state["taken"])

    @property
    def training_seconds(self) -> float:
        """Seconds of collection and optimisation, without validation."""
        return self.total["collect"] + self.total["optimize"]
