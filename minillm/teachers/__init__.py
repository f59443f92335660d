"""Teachers, which score the tokens of a batch. `build.py` builds the configured teacher."""

from minillm.teachers.averaged import AveragedTeacher
from minillm.teachers.base import BaseTeacher
from minillm.teachers.ensemble import EnsembleTeacher
from minillm.teachers.local import LocalTeacher
from minillm.teachers.teacher import Scores, Teacher

__all__ = ["AveragedTeacher", "BaseTeacher", "EnsembleTeacher", "LocalTeacher", "Scores", "Teacher"]
