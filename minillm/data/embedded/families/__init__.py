"""The families of tasks. A family is a function that draws a `Task`; its name is the topic.

To add a family, write the function and add it to `FAMILIES`.
"""

from minillm.data.embedded.families.reading import extract, lookup, summarise
from minillm.data.embedded.families.reasoning import (
    compare,
    recommend,
    route,
    schedule,
    sort,
)
from minillm.data.embedded.families.writing import advise, describe, invite, rewrite
from minillm.data.embedded.task import Family

FAMILIES: tuple[Family, ...] = (
    describe,
    invite,
    rewrite,
    advise,
    extract,
    lookup,
    summarise,
    compare,
    sort,
    recommend,
    route,
    schedule,
)
