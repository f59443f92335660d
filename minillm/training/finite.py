"""Stops a run when a loss, a gradient or a weight is not a finite number.

The check comes before files are written, so that `best`, `last` and checkpoints stay usable.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from torch import nn

from minillm.errors import TrainingError
from minillm.models.finite import fault_in_weights
from minillm.processes import failing_together
from minillm.training.sharding import held_part

# With float16, the loss is multiplied by a scale, and a step is skipped if its gradient overflows.
# PyTorch and DeepSpeed begin with the scale 2^16, and each skipped step halves the scale. After 16
# skipped steps in a row the scale is 1, so a smaller scale cannot prevent the overflow.
MAX_SKIPPED = 16


@dataclass
class FiniteCheck:
    """Checks the numbers of one run. All processes must call each check together.

    Attributes:
        output: the folder of the run, for messages.
        skips_steps: whether the optimiser skips steps with a non-finite gradient (float16).
        skipped: number of skipped steps in a row.
    """

    output: Path
    skips_steps: bool
    skipped: int = 0

    def check_step(self, step: int, loss: float, norm: float) -> None:
        """Check the loss and the norm of the gradient of a step, summed over all processes.

        Raises:
            TrainingError: the loss is not finite, or the gradient is not finite and the step is
                not skipped, or too many steps in a row were skipped.
        """
        if math.isfinite(loss) and math.isfinite(norm):
            self.skipped = 0
            return
        if not math.isfinite(loss) or not self.skips_steps:
            self.stop(f"loss or gradient is not finite at step {step} (loss {loss})")
        self.skipped += 1
        if self.skipped == MAX_SKIPPED:
            self.stop(
                f"the gradient in float16 is not finite at step {step}, and {MAX_SKIPPED} steps in "
                f"a row were skipped"
            )

    def check_weights(self, step: int, *modules: nn.Module) -> None:
        """Check the weights of modules, which may be sharded.

        Raises:
            TrainingError: a weight is not finite. All processes raise the error.
        """
        with failing_together(TrainingError):
            for module in modules:
                parts = ((name, held_part(x)) for name, x in module.named_parameters())
                fault = fault_in_weights(parts)
                if fault:
                    self.stop(f"{fault} after step {step}")

    def stop(self, reason: str) -> NoReturn:
        """Raise the error that ends the run."""
        raise TrainingError(
            f"{reason}, so training stopped. {self.output} still contains the earlier best, last "
            f"and checkpoints. Try a smaller training.lr, more training.warmup_steps or another "
            f"precision."
        )
