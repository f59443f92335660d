import pytest
import torch
from torch import nn
from torch.optim import AdamW

from minillm.config import TrainingConfig
from minillm.training.optimization import build_optimizer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_adamw_computes_the_same_as_the_default_kernel(dtype):
    torch.manual_seed(0)
    module = nn.Linear(40, 30, dtype=dtype)
    reference = nn.Linear(40, 30, dtype=dtype)
    reference.load_state_dict(module.state_dict())
    training = TrainingConfig(lr=0.01, weight_decay=0.1)
    optimizer = build_optimizer(module, training, torch.device("cpu"))
    assert optimizer.defaults["fused"]
    groups = [
        {"params": [reference.weight], "weight_decay": 0.1},
        {"params": [reference.bias], "weight_decay": 0.0},
    ]
    default = AdamW(groups, lr=0.01, betas=tuple(training.betas), foreach=False)
    for _ in range(5):
        for ours, other in zip(module.parameters(), reference.parameters(), strict=True):
            ours.grad = torch.randn_like(ours)
            other.grad = ours.grad.clone()
        optimizer.step()
        default.step()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    for ours, other in zip(module.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, other, atol=tolerance, rtol=tolerance)


def test_weights_in_host_memory_that_will_be_sharded_on_gpus_get_the_kernel_of_gpus():
    optimizer = build_optimizer(nn.Linear(2, 2), TrainingConfig(), torch.device("cuda"))
    assert optimizer.defaults["fused"] is None
