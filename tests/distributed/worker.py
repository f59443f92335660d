"""One of several processes. It trains with all methods on all backends, and does further checks.

The fixtures of conftest.py start this file, with RANK, WORLD_SIZE and similar variables. It writes
runs and the results RANK.json to its working folder.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from unittest.mock import patch

import torch
import yaml
from accelerate import PartialState
from accelerate.state import AcceleratorState, GradientState

from minillm.commands import loading
from minillm.commands import train as commands
from minillm.commands.evaluate import evaluate_models
from minillm.commands.plan import plan_training
from minillm.commands.train import train
from minillm.compat.gloo import settle
from minillm.compose import CONFIGS, load_config
from minillm.data.batches import PromptBatch
from minillm.errors import InputError, Stopped, TrainingError
from minillm.methods.token_loss import TokenLoss
from minillm.models.language_model import build_model, load_model
from minillm.runs import SUMMARY
from minillm.sampling.sampler import Decoding, sample
from minillm.sources import rollouts
from minillm.sources.rollouts import Rollouts
from minillm.training.files import MANIFEST
from minillm.training.run_state import PROGRESS, RunState, step_of
from tests.distributed.activations import activations_stored
from tests.distributed.memory import bytes_held, resident_of_a_model, weights_of_an_ensemble
from tests.training.interrupting import stop_at

BACKENDS = ("ddp", "fsdp2", "zero1", "zero2", "zero3")
PRECISIONS = ("no", "bf16")
STOPPED = ("ddp", "fsdp2", "zero2", "zero3")  # by a NaN loss
FULL = {"fsdp2": 1, "zero1": 1, "zero3": 0}  # the process that cannot write
MINILLM = ["method=minillm", "method.inner_epochs=5", "method.rollouts_per_collection=8"]
METHODS = {
    "sft": ["method=sft"],
    "kd": ["method=kd"],
    "minillm": MINILLM,
    # Whitening over all positions and plain text.
    "official": [*MINILLM, "method.variant=official", "method.lm_coef=1", "method.lm_kd_ratio=0.5",
                 "method.lm_batch_size=4", "method.lm_length=8", "data.plain_text=text.txt"],
    "average_reward": [*MINILLM, "method.variant=average_reward", "method.baseline=prompt",
                       "method.responses_per_prompt=2"],
    "gkd": ["method=gkd"],
    # Two checkpoints, because the test compares the projection of both.
    "hidden_states": ["method=hidden_states", "training.checkpoint_every=4"],
    # The cross-entropy moves the student away from its average.
    "average": ["method=gkd", "method.kd_ratio=0.5", "method.divergence=forward_kl",
                "teacher.kind=average", "teacher.path=null", "teacher.rate=0.1",
                "training.lr=3e-3", "student.tokenizer=sft_ddp/last",
                "runtime.shard_teacher=false"],
    "ensemble": ["method=kd", "teacher.kind=ensemble", "teacher.path=null"],
    "top_k": ["method=kd", "teacher.top_k=5", "runtime.shard_teacher=true"],
}  # fmt: skip
# Methods that use gradient checkpointing in runs of two processes.
RECOMPUTED = ("minillm", "hidden_states")
# Methods that use no other functions of a backend than the methods above run on two backends.
TWO = {"official": ("ddp", "zero3"), "average_reward": ("ddp", "fsdp2"), "gkd": ("ddp", "fsdp2"), 
       "ensemble": ("ddp", "fsdp2"), "top_k": ("ddp", "zero3")}  # fmt: skip
CASES = [(method, backend) for method in METHODS for backend in TWO.get(method, BACKENDS)]


def environment(backend: str) -> dict[str, str]:
    """Environment variables that `accelerate launch` sets for a file of configs/accelerate."""
    config = yaml.safe_load((CONFIGS / "accelerate" / f"{backend}.yaml").read_text())
    if config["distributed_type"] == "FSDP":
        given = {key.upper(): str(value) for key, value in config["fsdp_config"].items()}
        return given | {"ACCELERATE_USE_FSDP": "true"}
    if config["distributed_type"] == "DEEPSPEED":
        given = config["deepspeed_config"]
        return {
            "ACCELERATE_USE_DEEPSPEED": "true",
            "ACCELERATE_DEEPSPEED_ZERO3_INIT": str(given["zero3_init_flag"]),
            "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(
                CONFIGS.parent / given["deepspeed_config_file"]
            ),
        }
    return {}


@contextmanager
def using(backend: str):
    """Use a new Accelerate state for one command. The processes stay connected."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    with (
        patch.dict(os.environ, environment(backend)),
        patch.object(PartialState, "destroy_process_group"),
        patch.object(commands, "settle"),  # only needed at the end: see `main`
        patch.multiple(
            loading, load_model=only_on_main(load_model), build_model=only_on_main(build_model)
        ),
        patch.object(os, "fsync"),  # slow, and tests need no protection against power failures
    ):
        yield


def only_on_main(make: Callable) -> Callable:
    """A function that fails in all processes but the first."""

    def checked(*arguments):
        assert os.environ.get("RANK", "0") == "0", "only the main process reads weights"
        return make(*arguments)

    return checked


def fixed_collection(self: Rollouts):
    """Responses that do not depend on the number of processes. Each process gets its part."""
    prompts = [example.prompt_ids for example in self.setup.train[:8]]
    with self.setup.student.whole() as student, self.setup.teacher.sampler.whole() as teacher:
        batch = PromptBatch.pad(prompts, student.pad_id)
        generator = torch.Generator().manual_seed(3)
        rollout = sample(
            student,
            batch,
            Decoding(8),
            generator=generator,
            teacher=teacher,
            alpha=0.2,
            computes_reverse_kl=self.computes_reverse_kl,
        )
    return rollout.select(torch.arange(8).chunk(self.setup.world)[self.setup.rank]), {}


def options(settings: list[str], method: str, backend: str, output: str) -> list[str]:
    shard = backend in ("fsdp2", "zero3")
    # Two processes recompute, and one process does not, so that the tests compare both.
    recomputes = method in RECOMPUTED and "WORLD_SIZE" in os.environ
    # A process has 4 sequences, in micro-batches of 3 and 1, so that their sizes differ.
    return [*settings, "training.batch_size=8", "training.micro_batch_size=3",
            "training.steps=5", "training.evaluate_every=5", "evaluation.batch_size=3",
            "runtime.trackers=[]", "student.architecture=llama", "student.hidden_size=16",
            f"runtime.shard_teacher={shard}", *METHODS[method], f"output={output}",
            f"runtime.gradient_checkpointing={recomputes}"]  # fmt: skip


def trained(settings: list[str], method: str, backend: str, output: str, *more: str) -> str | None:
    """Train, and return the message of the error that ended the run, or None."""
    with using(backend), patch.object(Rollouts, "collect", fixed_collection):
        try:
            train(load_config([*options(settings, method, backend, output), *more]))
        except (TrainingError, InputError, Stopped) as end:
            return str(end)
    return None


def loss_that_is_nan_on_rank_1(self, *arguments):
    loss, metrics = plain_loss(self, *arguments)
    return loss * (float("nan") if self.setup.rank == 1 else 1), metrics


plain_loss = TokenLoss.__call__


def sample_that_fails_on_rank_1(*arguments, **options):
    if PartialState().process_index == 1:
        raise FloatingPointError("the logits are not finite")
    return sample(*arguments, **options)


@contextmanager
def full_disk(rank: int, size: int = 40_000):
    """Process `rank` cannot write large files, such as moments, of the second checkpoint."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def save(self: RunState, step: int, *arguments: dict) -> Path:
        if step == 4 and self.accelerator.process_index == rank:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        return plain_save(self, step, *arguments)

    with patch.object(RunState, "save", save):
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


plain_save = RunState.save


def fills(settings: list[str]) -> dict[str, dict]:
    """Messages of runs in which one process cannot write, and of the resumed runs, and checkpoints.

    `left` are the checkpoints between the two runs. Only its value on the first process is certain,
    because the first process deletes partial checkpoints.
    """
    found = {}
    more = ["training.checkpoint_every=2"]
    for backend, rank in FULL.items():
        output = f"full_{backend}"
        with full_disk(rank):
            message = trained(settings, "sft", backend, output, *more)
        left = sorted(path.name for path in Path(output, "checkpoints").iterdir())
        again = trained(settings, "sft", backend, output, *more, "resume=auto")
        found[backend] = {"first": message, "left": left, "again": again}
    return found


def stops(settings: list[str]) -> dict[str, str | None]:
    """The messages of runs in which one process fails."""
    found = {}
    for backend in STOPPED:
        with patch.object(TokenLoss, "__call__", loss_that_is_nan_on_rank_1):
            found[backend] = trained(settings, "sft", backend, f"nan_{backend}")
    with using("ddp"), patch.object(rollouts, "sample", sample_that_fails_on_rank_1):
        try:
            train(load_config(options(settings, "minillm", "ddp", "nan_sample")))
        except TrainingError as error:
            found["sample"] = str(error)
    return found


@contextmanager
def old_view(rank: int):
    """Process `rank` does not see the files of runs by which processes decide what to do."""

    def unless_hidden(check: Callable[[Path], bool]) -> Callable[[Path], bool]:
        def is_seen(path: Path) -> bool:
            is_hidden = path.name in (SUMMARY, PROGRESS, MANIFEST) or step_of(path) is not None
            return not is_hidden and check(path)

        return is_seen

    if PartialState().process_index != rank:
        yield
        return
    checks = {name: unless_hidden(getattr(Path, name)) for name in ("exists", "is_file")}
    with patch.multiple(Path, **checks):
        yield


def goes_on_in_bf16(settings: list[str], rank: int) -> dict[str, list[str | None]]:
    """The messages of MiniLLM in bfloat16: a whole run, and a run that is stopped and goes on.

    Process 1 gets the signal. It later has an old view of the files, also of the finished run.
    """
    found = {}
    for backend in BACKENDS:
        stopped = [f"stopped_{backend}", "runtime.mixed_precision=bf16"]
        whole = [f"whole_{backend}", "runtime.mixed_precision=bf16"]
        found[backend] = [trained(settings, "minillm", backend, *whole)]
        stop_at(3 if rank == 1 else None)
        found[backend].append(trained(settings, "minillm", backend, *stopped))
        stop_at(None)
        with old_view(rank=1):
            for _ in range(2):
                message = trained(settings, "minillm", backend, *stopped, "resume=auto")
                found[backend].append(message)
    return found


def members(settings: list[str]) -> str:
    """An ensemble of the teacher in the settings and a model of another architecture."""
    (path,) = (x.partition("=")[2] for x in settings if x.startswith("teacher.path="))
    return f"teacher.members=[{{path:{path},weight:0.7}},{{path:sft_ddp/last,weight:0.3}}]"


def main(settings: list[str], rank: int, world: int) -> None:
    torch.set_num_threads(1)
    found: dict = {}
    METHODS["ensemble"].append(members(settings))
    backends = BACKENDS if world > 1 else ("ddp",)
    for method, backend in CASES:
        if backend in backends:
            found[f"{method} {backend}"] = trained(settings, method, backend, f"{method}_{backend}")
    for backend, precision in product(backends, PRECISIONS):
        with using(backend):
            config = load_config([*settings, f"runtime.mixed_precision={precision}"])
            found[f"memory {backend} {precision}"] = bytes_held(config)
            found[f"activations {backend} {precision}"] = activations_stored(config)
    seqkd = ["method=seqkd", "method.file=seqkd.jsonl", "method.generation_batch_size=4"]
    METHODS["seqkd"] = seqkd
    found["seqkd"] = trained(settings, "seqkd", "ddp", "seqkd", "training.steps=1")
    if rank == 0:
        whole = Path("seqkd.jsonl").read_bytes()
        Path("cut.jsonl").write_bytes(whole[: len(whole) // 2])
    METHODS["seqkd"][1] = "method.file=cut.jsonl"
    found["cut"] = trained(settings, "seqkd", "ddp", "cut", "training.steps=1")
    with using("ddp"):
        evaluate_models(["sft_ddp"], ["evaluation.seeds=[1,2]"])
    if world > 1:
        with using("ddp"):
            plan_training(load_config(options(settings, "kd", "ddp", "planned")), (), None,
                          measures=False)  # fmt: skip
            found["resident"] = resident_of_a_model(load_config(settings))
            found["ensemble"] = weights_of_an_ensemble(load_config(settings))
        found["stops"] = stops(settings)
        found["fills"] = fills(settings)
        found["bf16"] = goes_on_in_bf16(settings, rank)
    Path(f"{rank}.json").write_text(json.dumps(found))
    settle()


if __name__ == "__main__":
    main(sys.argv[1:], int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
