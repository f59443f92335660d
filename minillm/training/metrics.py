"""The type of metrics during training."""

from torch import Tensor

# A metric is a pair (sum, count), and its value is sum / count. Sums and counts are added over
# batches and processes, so the value of a step does not depend on how the step is divided.
Metrics = dict[str, tuple[Tensor | float, Tensor | float]]
