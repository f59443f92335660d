"""Products by oneDNN equal those of torch, for every memory layout of the operands."""

import pytest
import torch
from torch.nn import functional

from minillm.compat import onednn

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


@pytest.fixture
def all_sizes(monkeypatch):
    monkeypatch.setattr(onednn, "SMALLEST", 1)


def layouts(rows: int, columns: int) -> dict[str, torch.Tensor]:
    """Random matrices in different memory layouts. In some of them, elements share memory."""
    return {
        "rows": torch.randn(rows, columns),
        "columns": torch.randn(columns, rows).t(),
        "slice": torch.randn(rows, columns + 3)[:, 1:-2],
        "columns of a slice": torch.randn(columns, rows + 2)[:, :-2].t(),
        "every second": torch.randn(rows, 2 * columns)[:, ::2],
        "expanded": torch.randn(1, 1).expand(rows, columns),
        "a row": torch.randn(1, columns).expand(rows, columns),
        "empty": torch.randn(rows, 0) if rows < columns else torch.randn(0, columns),
    }


@needs_onednn
@pytest.mark.parametrize("bias", [False, True])
def test_products_of_all_layouts(all_sizes, bias):
    torch.manual_seed(0)
    for left_name, left in layouts(5, 7).items():
        for right_name, right in layouts(left.shape[1], 11 if left.shape[1] else 3).items():
            if left.shape[1] != right.shape[0]:
                continue
            vector = torch.randn(right.shape[1])
            expected = left.double() @ right.double() + (vector.double() if bias else 0)
            actual = onednn._addmm(vector, left, right) if bias else onednn._mm(left, right)
            names = f"{left_name} x {right_name}"
            torch.testing.assert_close(actual.double(), expected, atol=1e-5, rtol=1e-5, msg=names)


def test_other_types_and_factors_are_left_to_torch(all_sizes):
    left, right, bias = torch.randn(4, 3), torch.randn(3, 5), torch.randn(5)
    torch.testing.assert_close(
        onednn._addmm(bias, left, right, beta=0.5, alpha=2), 0.5 * bias + 2 * left @ right
    )
    matrix = torch.randn(4, 5)
    torch.testing.assert_close(onednn._addmm(matrix, left, right), matrix + left @ right)
    assert torch.equal(onednn._mm(left.long(), right.long()), left.long() @ right.long())
    double = onednn._mm(left.double(), right.double())
    assert torch.equal(double, left.double() @ right.double())


@pytest.mark.parametrize("shapes", [((4, 3), (4, 2)), ((3,), (3, 2)), ((4, 3), (3, 2, 1))])
def test_errors_are_those_of_torch(all_sizes, shapes):
    left, right = (torch.randn(shape) for shape in shapes)
    messages = []
    for product in (torch.mm, onednn._mm):
        with pytest.raises(RuntimeError) as error:
            product(left, right)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@needs_onednn
def test_linear_layers_and_their_gradients_use_onednn(all_sizes, monkeypatch):
    torch.manual_seed(0)
    inputs = [torch.randn(3, 64, 96), torch.randn(160, 96), torch.randn(160)]
    expected = layer([x.double() for x in inputs])
    products = []
    monkeypatch.setattr(onednn, "product", lambda *x, f=onednn.product: products.append(x) or f(*x))
    library = onednn.enable()
    try:
        actual = layer(inputs)
    finally:
        library._destroy()  # restores the kernels of torch
        onednn.enable.cache_clear()
    assert len(products) == 3
    for value, expected_value in zip(actual, expected, strict=True):
        assert (value - expected_value).abs().max() <= 1e-5 * expected_value.abs().max()
    layer(inputs)
    assert len(products) == 3


def layer(values: list[torch.Tensor]) -> list[torch.Tensor]:
    """A linear layer's output and the gradients of input, weight and bias."""
    x, weight, bias = (value.clone().requires_grad_() for value in values)
    y = functional.linear(x, weight, bias)
    return [y.detach(), *torch.autograd.grad(y.square().sum() / 2, (x, weight, bias))]
