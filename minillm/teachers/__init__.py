"""Teachers: who says what about the tokens of a batch. `build_teacher` makes the configured one."""

from minillm.teachers.averaged import AveragedTeacher
from minillm.teachers.ensemble import EnsembleTeacher
from minillm.teachers.local import LocalTeacher
from minillm.teachers.teacher import Scores, Teacher

__all__ = ["AveragedTeacher", "EnsembleTeacher", "LocalTeacher", "Scores", "Teacher"]
