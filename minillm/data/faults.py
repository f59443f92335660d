"""Rows and lines that cannot be read: their faults, and counts of those that were dropped."""

from minillm.errors import InputError

NOT_UTF8 = "not UTF-8"
MALFORMED = "malformed"
NO_PROMPT = "without a prompt"
NO_RESPONSE = "without a response"

# Places that are listed for each fault. Others are only counted, so that memory is limited.
LISTED = 20

# What was dropped: `{fault: {"count": 2, "first": ["line 3", "line 9"]}}`, as in json files.
Dropped = dict[str, dict]


class RowError(InputError):
    """A row or line cannot be read; `fault` is the kind of its fault."""

    def __init__(self, message: str, fault: str = MALFORMED) -> None:
        super().__init__(message)
        self.fault = fault


def with_dropped(dropped: Dropped, fault: str, place: str) -> Dropped:
    """The counts after one more row or line with this fault was dropped at this place."""
    before = dropped.get(fault, {"count": 0, "first": []})
    first = [*before["first"], place][:LISTED]
    return dropped | {fault: {"count": before["count"] + 1, "first": first}}


def dropped_text(dropped: Dropped) -> str:
    """The counts in words, such as `2 not UTF-8 (line 3; line 9), 1 malformed (line 4)`."""
    parts = []
    for fault, each in dropped.items():
        places = "; ".join(each["first"]) + "; ..." * (each["count"] > len(each["first"]) > 0)
        parts.append(f"{each['count']} {fault}" + f" ({places})" * bool(places))
    return ", ".join(parts)
