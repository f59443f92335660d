"""Matching of hidden states equals plain formulas on the outputs of `output_hidden_states=True`."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from minillm.config import Config, TrainingConfig
from minillm.errors import InputError
from minillm.methods.layer_matching import LayerMatching
from minillm.methods.token_loss import TokenLoss
from minillm.models.forward import position_ids, response_loss
from minillm.models.language_model import LanguageModel
from minillm.sources.pairs import Pair, pad_pairs
from minillm.teachers import LocalTeacher
from minillm.training.setup import Setup
from tests.models.stock_models import VOCAB, build
from tests.objectives.small_heads import LOG_PROBS

# GPT-2 and OPT compute all operations in float64.
STUDENT = build("gpt2", 1, n_layer=3)
TEACHER = build("opt", 2, hidden_size=24, word_embed_proj_dim=12, num_hidden_layers=4)
# The teacher reads other prompts before the same responses.
BATCH = pad_pairs(
    [
        Pair([5, 6, 7], [9, 10, 2], [4]),
        Pair([13], [15], [3, 3, 8, 9]),
        Pair([16, 17], [18, 2], [7, 7]),
    ],
    1,
)
WEIGHT = 0.7
DISTANCES = {
    "mse": lambda x, y: ((x - y) ** 2).mean(-1) / (y**2).mean(-1),
    "cosine": lambda x, y: 1 - (x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1)),
}
EVERY_DISTANCE = pytest.mark.parametrize("distance", DISTANCES)


def matching(distance: str = "mse", pairs=((1, 1), (2, -2), (-2, 2)), seed: int = 4):
    return LayerMatching.build(
        STUDENT, TEACHER, pairs=pairs, distance=distance, weight=WEIGHT, seed=seed
    )


def plain_states(model: LanguageModel, batch) -> tuple[tuple[Tensor, ...], Tensor]:
    """Outputs of the layers before each response token, and log-probabilities `[B, T, V]`."""
    mask = torch.cat([batch.prompt_mask, batch.response_mask], dim=1)
    ids = torch.cat([batch.prompt_ids, batch.response_ids], dim=1)
    output = model.module(
        ids, attention_mask=mask, position_ids=position_ids(mask), output_hidden_states=True
    )
    columns = slice(batch.prompt_ids.shape[1] - 1, -1)
    states = tuple(state[:, columns] for state in output.hidden_states)
    return states, output.logits[:, columns, :VOCAB].log_softmax(-1)


@EVERY_DISTANCE
def test_the_loss_is_that_of_the_plain_formula(distance):
    layers = matching(distance)
    assert [tuple(x.weight.shape) for x in layers.projections] == [(24, 16)] * 3
    assert layers.pairs == ((1, 1), (2, 3), (2, 2)) and layers.teacher_layers == (1, 3, 2)
    config = Config(training=TrainingConfig(chunk_size=2))
    setup = Setup(config, STUDENT, LocalTeacher(TEACHER), [], torch.device("cpu"), 0, 1, Path())
    loss = TokenLoss(setup, 0.3, {}, layers)
    assert loss.needs_teacher and loss.modules() == {"projections": layers.projections}
    total, metrics = loss(STUDENT.module, BATCH)

    student, log_q = plain_states(STUDENT, BATCH.sequences)
    teacher, _ = plain_states(TEACHER, BATCH.teacher_sequences)
    distances = [
        DISTANCES[distance](student[i] @ projection.weight.T, teacher[j].detach())
        for (i, j), projection in zip(layers.pairs, layers.projections, strict=True)
    ]
    real = BATCH.sequences.response_mask
    states = WEIGHT * (sum(distances) / 3 * real).sum()
    cross_entropy = -(
        log_q.gather(-1, BATCH.sequences.response_ids[..., None])[..., 0] * real
    ).sum()
    plain = states + 0.3 * cross_entropy
    torch.testing.assert_close(total, plain, atol=1e-10, rtol=1e-10)
    assert metrics["loss/states"][1] == BATCH.sequences.tokens == 6
    torch.testing.assert_close(metrics["loss/states"][0], states.detach(), atol=1e-10, rtol=1e-10)
    trained = [*STUDENT.module.parameters(), *layers.projections.parameters()]
    gradients = [torch.autograd.grad(x, trained, retain_graph=True) for x in (total, plain)]
    for gradient, plain_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, plain_gradient, atol=1e-10, rtol=1e-10)
    teachers = torch.autograd.grad(total, [*TEACHER.module.parameters()], allow_unused=True)
    assert set(teachers) == {None}


def loss_against(layers: LayerMatching, teacher_states: dict[int, Tensor]) -> Tensor:
    total, values = response_loss(
        STUDENT.module, BATCH.sequences, STUDENT, terms=LOG_PROBS,
        loss=lambda values: 0 * values["log_probs"], state_loss=layers.against(teacher_states),
    )  # fmt: skip
    torch.testing.assert_close(total.detach(), values["states"].sum())
    return total


@EVERY_DISTANCE
def test_the_loss_is_0_at_the_projected_states_and_does_not_depend_on_their_size(distance):
    layers = matching(distance, pairs=[(1, 1)])
    projected = layers.projections[0](plain_states(STUDENT, BATCH.sequences)[0][1]).detach()
    assert loss_against(layers, {1: projected}).abs() < 1e-12
    other = torch.roll(projected, 1, 0)
    expected = loss_against(layers, {1: other})
    layers.projections[0].weight.data.mul_(1e3)
    torch.testing.assert_close(loss_against(layers, {1: 1e3 * other}), expected)


@EVERY_DISTANCE
def test_zero_states_and_half_precision_are_finite(distance):
    layers = matching(distance, pairs=[(1, 1)])
    for dtype in (torch.float64, torch.bfloat16):
        total = loss_against(layers, {1: torch.zeros(3, 3, 24, dtype=dtype)})
        gradients = torch.autograd.grad(total, layers.projections.parameters())
        assert total.isfinite() and all(gradient.isfinite().all() for gradient in gradients)


def test_projections_depend_on_their_seed_alone():
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    weight, same, other = (matching(seed=seed).projections[0].weight for seed in (4, 4, 5))
    assert torch.equal(weight, same) and not torch.equal(weight, other)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert weight.dtype == torch.float64 and weight.requires_grad


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((0, 1), "layer 0 does not exist: GPT2LMHeadModel has the layers 1 to 3"),
        ((4, 1), "layer 4 does not exist: GPT2LMHeadModel"),
        ((1, 5), "layer 5 does not exist: OPTForCausalLM has the layers 1 to 4"),
        ((1, -5), "layer -5 does not exist: OPTForCausalLM"),
    ],
)
def test_layers_that_do_not_exist_are_refused(pair, message):
    with pytest.raises(InputError, match=message):
        matching(pairs=[(1, 1), pair])
