"""Which parts stay, for importances that are written down."""

from itertools import pairwise

import pytest
import torch

from minillm.config import PruningConfig
from minillm.errors import InputError
from minillm.pruning.choose import (
    check_numbers,
    choose,
    even_layers,
    head_counts,
    largest,
    largest_heads,
    layers_without_block,
)
from minillm.pruning.structure import HeadSizes
from tests.pruning.deep_models import deep


@pytest.mark.parametrize(
    ("count", "stay", "layers"),
    [(4, 4, [0, 1, 2, 3]), (4, 3, [0, 2, 3]), (5, 3, [0, 2, 4]), (6, 2, [0, 5]), (3, 1, [0])],
)
def test_even_layers_include_the_first_and_the_last(count, stay, layers):
    assert even_layers(count, stay) == layers


def test_even_layers_are_different_layers_for_all_numbers():
    for count in range(1, 40):
        for stay in range(1, count + 1):
            layers = even_layers(count, stay)
            assert len(layers) == stay and layers == sorted(set(layers)) and layers[-1] < count
            gaps = {b - a for a, b in pairwise(layers)}
            assert not gaps or max(gaps) - min(gaps) <= 1


def test_of_equal_values_the_first_is_taken():
    assert largest(torch.tensor([1.0, 3, 2, 3, 2]), 3) == [1, 2, 3]


def test_the_block_that_turns_least_is_left_out():
    angles = torch.tensor([0.3, 0.1, 0.2])  # of layers 0 to 2, 1 to 3 and 2 to 4
    assert layers_without_block(angles, 5) == [0, 4]


def test_each_group_keeps_as_many_query_heads():
    importance = torch.tensor([1.0, 5, 2, 9, 8, 7, 3, 3, 4])
    heads = largest_heads(importance, kv_heads=3, stay=6, stay_kv=3)
    assert [x.tolist() for x in heads] == [[1, 2, 3, 4, 6, 8], [0, 1, 2]]
    # The groups are compared by the heads that would stay: 1 + 5 + 2, 9 + 8 + 7, and 3 + 3 + 4.
    heads = largest_heads(importance, kv_heads=3, stay=6, stay_kv=2)
    assert [x.tolist() for x in heads] == [[3, 4, 5, 6, 7, 8], [1, 2]]
    heads = largest_heads(importance, kv_heads=3, stay=2, stay_kv=2)  # 5, 9, and 4
    assert [x.tolist() for x in heads] == [[1, 3], [0, 1]]


@pytest.mark.parametrize(
    ("kv_heads", "given", "counts"),
    [(3, {"heads": 6}, (6, 3)), (3, {"heads": 6, "kv_heads": 2}, (6, 2)),
     (3, {"kv_heads": 2}, (6, 2)), (9, {"heads": 6}, (6, 6)), (1, {"heads": 4}, (4, 1))],
)  # fmt: skip
def test_numbers_of_heads(kv_heads, given, counts):
    assert head_counts(HeadSizes(9, kv_heads, 4), PruningConfig(**given)) == counts


def test_layers_are_named_from_1_and_from_the_end():
    assert choose(deep("gpt2"), PruningConfig(keep=[-1, 2]), []).layers == [1, 3]


@pytest.mark.parametrize(
    ("given", "message"),
    [({"layers": 5}, "layers=5 is not allowed: the model has 4 layers. Give at most 4."),
     ({"keep": [1, 5]}, "keep: layer 5 does not exist"),
     ({"keep": [4, -1]}, "keep names layer 4 twice"),
     ({"ffn": 25}, "ffn=25 is not allowed: the model has 24 hidden units per layer"),
     ({"heads": 5}, "heads=5 is not allowed: the model has 4 query heads"),
     ({"heads": 3}, r"heads=3 cannot be divided among kv_heads=2, each of which 1 to 2 query heads "
      r"can share. Set heads=2 or 4, or another kv_heads."),
     ({"heads": 4, "kv_heads": 1}, "Set heads=1 or 2, or another kv_heads")],
)  # fmt: skip
def test_numbers_that_the_model_does_not_have_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        check_numbers(deep("llama").module, PruningConfig(**given))


def test_experts_have_no_common_hidden_units():
    module = deep("mixtral").module
    with pytest.raises(InputError, match="hidden units of MixtralForCausalLM cannot be pruned"):
        check_numbers(module, PruningConfig(ffn=12))
