"""How each backend of `scripts/launch.sh` distributes the student (docs/distributed.md)."""

import json
from dataclasses import dataclass

from transformers import PreTrainedModel

from minillm.settings.groups import CONFIGS

WEIGHTS, GRADIENTS, OPTIMIZER = "weights", "gradients", "optimizer"
# The numbers of a gradient bucket that DeepSpeed's ZeRO-1 and ZeRO-2 allocate by default.
REDUCE_BUCKET = 500_000_000
# ZeRO-3 keeps a gathered weight that is used again within this number of parameters (the default
# of `stage3_max_reuse_distance`). The layers of a forward pass are used again in reverse order.
REUSE_DISTANCE = 1_000_000_000


@dataclass(frozen=True)
class Backend:
    """A backend, named as `BACKEND` of `scripts/launch.sh`.

    Attributes:
        name: its name.
        shares: what the processes divide among them.
        is_deepspeed: whether DeepSpeed trains. DeepSpeed keeps a float32 copy of the weights beside
            Adam's moments, and has weights and gradients in half precision if this is set.
        offloads: whether the divided parts are in host memory.
    """

    name: str
    shares: frozenset[str] = frozenset()
    is_deepspeed: bool = False
    offloads: bool = False

    @property
    def gathers_weights(self) -> bool:
        """Whether a process holds complete layers only for the time of their passes."""
        return WEIGHTS in self.shares

    @property
    def keeps_gradients(self) -> bool:
        """Whether the memory of the gradients is kept between steps, as DDP's buckets are."""
        return self.name == "ddp" or (self.is_deepspeed and self.gathers_weights)

    def divisor(self, part: str, processes: int) -> int:
        """By what the size of WEIGHTS, GRADIENTS or OPTIMIZER is divided."""
        return processes if part in self.shares else 1

    def weight_bytes(self, is_half: bool) -> int:
        """Bytes of a weight; `is_half` means bf16 or fp16."""
        return 2 if self.is_deepspeed and is_half else 4

    def bytes_per_parameter(self, processes: int, is_half: bool) -> dict[str, float]:
        """Bytes per parameter of the student that one process holds, with AdamW.

        Args:
            processes: number of processes, N.
            is_half: whether `runtime.mixed_precision` is bf16 or fp16.
        """
        size = self.weight_bytes(is_half)
        sizes = {WEIGHTS: size, GRADIENTS: size, OPTIMIZER: 12 if self.is_deepspeed else 8}
        return {part: size / self.divisor(part, processes) for part, size in sizes.items()}

    def in_transit(self, module: PreTrainedModel, is_half: bool) -> float:
        """Bytes of gathered layers, and of gradients on their way to the processes that own them.

        FSDP2 gathers two layers, and everything outside of layers for the whole pass. ZeRO-3 keeps
        layers that are used again soon, and all of a small model. DeepSpeed sends gradients in a
        bucket.
        """
        size = self.weight_bytes(is_half)
        sizes = [weight.numel() for weight in module.parameters()]
        if self.is_deepspeed:
            # The buckets of ZeRO-1 have the float32 gradients.
            sent = self._bucket(module) * (size if GRADIENTS in self.shares else 4)
            if not self.gathers_weights:
                return sent
            return sent + size * (min(sum(sizes), REUSE_DISTANCE // 2) + max(sizes))
        if not self.gathers_weights:
            return 0
        names = module._no_split_modules or ()
        layers = [
            sum(weight.numel() for weight in part.parameters())
            for part in module.modules() if type(part).__name__ in names
        ]  # fmt: skip
        outside, layer = sum(sizes) - sum(layers), max(layers, default=0)
        return (outside + 2 * layer) * (2 if is_half else 4) + (outside + layer) * 4

    def _bucket(self, module: PreTrainedModel) -> int:
        """Numbers in the bucket of gradients, as configs/deepspeed says."""
        file = CONFIGS / "deepspeed" / f"{self.name}.json"
        settings = json.loads(file.read_text(encoding="utf-8"))["zero_optimization"]
        size = settings.get("reduce_bucket_size", REDUCE_BUCKET)
        return module.config.get_text_config().hidden_size ** 2 if size == "auto" else int(size)


ALL = frozenset({WEIGHTS, GRADIENTS, OPTIMIZER})
ONE_PROCESS = Backend("one process")
BACKENDS = (
    Backend("ddp"),
    Backend("fsdp2", ALL),
    Backend("zero1", frozenset({OPTIMIZER}), is_deepspeed=True),
    Backend("zero2", frozenset({OPTIMIZER, GRADIENTS}), is_deepspeed=True),
    Backend("zero3", ALL, is_deepspeed=True),
    Backend("zero3_offload", ALL, is_deepspeed=True, offloads=True),
)
