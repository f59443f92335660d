"""The form of a metric during training."""

from torch import Tensor

# A metric is a sum and the count that the sum is a mean over. Both add up over batches and
# processes, so the mean of a step does not depend on how the step is cut up.
Metrics = dict[str, tuple[Tensor | float, Tensor | float]]
