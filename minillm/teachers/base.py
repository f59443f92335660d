"""A teacher that is the student without its adapter (self-distillation).

The teacher reads a prompt of its own, such as one with instructions or an answer that the student
does not see (`data.teacher_template`), or is the model from which a policy shall not move away.
"""

from dataclasses import dataclass, replace
from typing import Any

from minillm.errors import InputError
from minillm.models.adapters import has_adapter, without_adapter
from minillm.models.language_model import LanguageModel
from minillm.teachers.local import LocalTeacher


@dataclass(frozen=True)
class BaseTeacher(LocalTeacher):
    """Scores tokens with the frozen weights of the student, which both models share.

    The teacher has layers of its own. So its passes need no switch in the student, and the dropout
    and the gradients of the student do not reach the teacher.
    """

    @staticmethod
    def of(student: LanguageModel, **settings: Any) -> "BaseTeacher":
        """Build the teacher from a student on its device that is not yet wrapped.

        Raises:
            InputError: the student has no adapter.
        """
        if not has_adapter(student.module):
            raise InputError(
                "teacher.kind=base is the student without its adapter, but the student has no "
                "adapter. Add student.lora.rank=16, or give an adapter as student.path, or set "
                "teacher.kind=local and teacher.path=FOLDER_OR_HUB_NAME."
            )
        module = without_adapter(student.module).eval()
        return BaseTeacher(replace(student, module=module, recomputes_layers=False), **settings)
