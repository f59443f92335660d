"""The memory that one process needs in each phase of a training, for every backend.

Weights, gradients and optimiser states follow the table of docs/distributed.md. The tensors of the
passes are counted (`passes.py`). docs/distributed.md says what is not included, and how far the sum
is from measured peaks.
"""

from dataclasses import dataclass
from functools import cached_property

import torch

from minillm.config import Config, MiniLLMConfig
from minillm.methods.build import build_losses
from minillm.models.adapters import has_adapter
from minillm.models.size import bytes_of
from minillm.planning.backends import GRADIENTS, OPTIMIZER, WEIGHTS, Backend
from minillm.planning.lengths import Lengths
from minillm.planning.passes import STUDENT, TEACHER, BatchShape, Passes, width
from minillm.planning.sampling import Decoding
from minillm.planning.work import student_share
from minillm.teachers import AveragedTeacher, BaseTeacher
from minillm.training.setup import Setup

# Bytes per response token of a rollout beside its hidden states: the log-probabilities of student,
# teacher and mixture (float32), id and mask (int64).
ROLLOUT = 3 * 4 + 2 * 8
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}

Bytes = dict[str, float]  # by component


@dataclass(frozen=True)
class Memory:
    """The bytes of one process by component, in each phase.

    Attributes:
        held: all the time.
        step: added by the forward and backward pass of a micro-batch.
        update: added by an update of the weights.
        collection: added while responses for the training are sampled.
        validation: added by a validation.
        host: in host memory, beside the device.
        loading: in the host memory of the main process while it loads the models, at most.
    """

    held: Bytes
    step: Bytes
    update: Bytes
    collection: Bytes
    validation: Bytes
    host: Bytes
    loading: Bytes

    @property
    def peak(self) -> float:
        """The largest number of bytes on the device at one time, after the loading."""
        phases = (self.step, self.update, self.collection, self.validation)
        return total(self.held) + max(map(total, phases))


def total(values: Bytes) -> float:
    return sum(values.values())


@dataclass(frozen=True)
class TeacherBytes:
    """The teacher's weights on one process.

    Attributes:
        held: bytes on the student's device all the time.
        used: further bytes during its forward passes.
        host: bytes in host memory.
        loaded: bytes that the main process reads from files.
    """

    held: float = 0
    used: float = 0
    host: float = 0
    loaded: float = 0

    @staticmethod
    def of(setup: Setup, processes: int) -> "TeacherBytes":
        """The weights of all models of the teacher, placed as the settings of `runtime` say."""
        teacher, runtime = setup.teacher, setup.config.runtime
        if teacher is None or isinstance(teacher, BaseTeacher):  # the student's weights
            return TeacherBytes()
        complete = sum(bytes_of(model.module) for model in teacher.models)
        heads = sum(bytes_of(model.module.get_output_embeddings()) for model in teacher.models)
        if isinstance(teacher, AveragedTeacher):
            return TeacherBytes(complete)
        if runtime.teacher_offload:
            return TeacherBytes(heads, used=complete, host=complete, loaded=complete)
        if runtime.teacher_device:
            return TeacherBytes(heads, loaded=complete)
        if runtime.shard_teacher and processes > 1:
            shared = complete - heads
            return TeacherBytes(heads + shared / processes, used=shared, loaded=complete)
        return TeacherBytes(complete, loaded=complete)


@dataclass(frozen=True)
class Process:
    """One of the processes of a run.

    Attributes:
        passes: counts the bytes of passes; has settings, data and models.
        lengths: of the data.
        validation_inputs: number of inputs of a validation.
        backend: distributes the student.
        processes: number of processes.
    """

    passes: Passes
    lengths: Lengths
    validation_inputs: int
    backend: Backend
    processes: int

    @property
    def setup(self) -> Setup:
        return self.passes.setup

    @property
    def config(self) -> Config:
        return self.setup.config

    def memory(self) -> Memory:
        """The memory of this process in each phase."""
        teacher, student = TeacherBytes.of(self.setup, self.processes), self.student_bytes
        on_host = student if self.backend.offloads else dict.fromkeys(student, 0)
        on_device = {name: student[name] - on_host[name] for name in student}
        kept = on_device[GRADIENTS] * self.backend.keeps_gradients
        gradients = {"gradients": on_device[GRADIENTS] - kept}
        complete = {"complete student": self._complete_student, "complete teacher": teacher.used}
        collection = self._collection()
        return Memory(
            held={
                "student's weights": on_device[WEIGHTS],
                "optimizer": on_device[OPTIMIZER],
                "gradients": kept,
                "teacher's weights": teacher.held,
                "stored responses": self._stored(self._rollouts),
            },
            step=gradients
            | {
                "layers and gradients in transit": self._in_transit,
                "complete teacher": teacher.used * self.config.method.reads_teacher_each_step,
                # A mini-batch is selected from the stored responses, and then divided.
                "responses of the step": self._stored(2 * self._rows),
                "activations and logits": self._training_pass,
            },
            update=gradients | {"temporary tensors": self._update},
            collection=complete | collection if collection else {},
            validation=complete | self._validation(),
            host={"student": total(on_host), "teacher": teacher.host},
            loading={"student": bytes_of(self.setup.student.module), "teacher": teacher.loaded},
        )

    @cached_property
    def student_bytes(self) -> Bytes:
        """Weights, gradients and optimiser states of the student and its projections."""
        sizes = self.backend.bytes_per_parameter(self.processes, self._is_half)
        needed = {name: size * self._trained for name, size in sizes.items()}
        return needed | {WEIGHTS: needed[WEIGHTS] + bytes_of(self.setup.student.module, False)}

    @cached_property
    def _trained(self) -> int:
        """Number of parameters that are trained."""
        modules = [x for loss in build_losses(self.setup).values() for x in loss.modules().values()]
        projections = sum(weight.numel() for module in modules for weight in module.parameters())
        return self.setup.student.trained_parameters + projections

    @property
    def _is_half(self) -> bool:
        return self.config.runtime.mixed_precision in HALF

    @property
    def _casts(self) -> bool:
        """Whether autocast rounds the student's weights. Other backends have rounded weights."""
        return self._is_half and not (self.backend.is_deepspeed or self.backend.gathers_weights)

    @property
    def _rows(self) -> int:
        """Sequences of a step."""
        return self.config.training.batch_size // self.processes

    @property
    def _rollouts(self) -> int:
        """Responses of a collection that are stored for several steps."""
        method = self.config.method
        if not isinstance(method, MiniLLMConfig):
            return 0
        return method.rollouts_per_collection // self.processes

    def _stored(self, rows: int) -> float:
        """Responses with the teacher's hidden states."""
        if not self._rollouts:
            return 0
        teacher = self.setup.teacher.sampler
        per_token = width(teacher) * teacher.module.dtype.itemsize + ROLLOUT
        return rows * self.lengths.response * per_token

    @property
    def _complete_student(self) -> float:
        """The student outside of training steps, if its weights are shared."""
        if not self.backend.gathers_weights:
            return 0
        return self.setup.student.parameters * self.backend.weight_bytes(self._is_half)

    @property
    def _in_transit(self) -> float:
        """Gathered layers, and gradients on their way to their processes."""
        return self.backend.in_transit(self.setup.student.module, self._is_half)

    @property
    def _training_pass(self) -> int:
        config, lengths = self.config, self.lengths
        most = config.training.micro_batch_size or self._rows
        tokens = BatchShape(
            min(most, self._rows), lengths.prompt, lengths.response, lengths.teacher_prompt
        )
        plain_tokens = None
        if config.method.lm_coef:
            rows = config.method.lm_batch_size // self.processes
            size = min(config.training.micro_batch_size or rows, rows)
            plain_tokens = BatchShape(size, 1, config.method.lm_length - 1)
        dtype = None if has_adapter(self.setup.student.module) else torch.float32
        if self._is_half and not self._casts:
            dtype = HALF[config.runtime.mixed_precision]
        return self.passes.training(tokens, plain_tokens, dtype)

    @property
    def _update(self) -> float:
        """Square roots of all second moments on a GPU; DeepSpeed's copy of its gradients."""
        if self.backend.offloads:
            return 0
        copies = self.passes.on_gpu + self.backend.is_deepspeed
        return copies * 4 * self._trained / self.backend.divisor(OPTIMIZER, self.processes)

    def _collection(self) -> Bytes:
        """What is sampled for the training; empty if nothing is."""
        config, method = self.config, self.config.method
        models, rows, size = (STUDENT,), self._rows, None
        if isinstance(method, MiniLLMConfig):
            models, rows, size = (STUDENT, TEACHER), self._rollouts, method.sampling_batch_size
        elif method.samples_teacher:
            models, rows = (TEACHER,), method.generation_batch_size
        elif student_share(method):
            size = method.sampling_batch_size
        else:
            return {}
        prompt = max(self.lengths.prompt, self.lengths.teacher_prompt or 0)
        decoding = Decoding(
            self.passes, rows, min(size or rows, rows), prompt, config.data.max_response_length
        )
        return {
            "rounded weights": self._casts * sum(map(decoding.rounded_bytes, models)),
            "caches of keys and values": sum(map(decoding.cache_bytes, models)),
            "passes and logits": max(map(decoding.pass_bytes, models)),
            "new responses": self._stored(rows),
        }

    def _validation(self) -> Bytes:
        """A process decodes its part of the validation inputs, and both models score them."""
        config, prompt = self.config, self.lengths.validation_prompt
        rows = -(-self.validation_inputs // self.processes)
        decoding = Decoding(
            self.passes, rows, min(config.evaluation.batch_size, rows), prompt,
            config.data.max_response_length,
        )  # fmt: skip
        has_scores = self.setup.teacher and self.setup.shared_tokenizer
        models = (STUDENT, TEACHER) if has_scores else (STUDENT,)
        scoring = (
            self.passes.scoring(x, decoding.at_once, prompt, decoding.response) for x in models
        )
        return {
            "rounded weights": self._casts * decoding.rounded_bytes(STUDENT),
            "caches of keys and values": decoding.cache_bytes(STUDENT),
            "passes and logits": max(decoding.pass_bytes(STUDENT), *scoring),
        }
