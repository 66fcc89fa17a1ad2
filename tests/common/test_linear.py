"""Matrix products by oneDNN: the same numbers as PyTorch's own."""

import pytest
import torch as th
from torch.nn import functional as F

from sb3_dpg.common.linear import MIN_ROWS, Linear, _OneDNNProduct, onednn_available

needs_onednn = pytest.mark.skipif(not onednn_available(), reason="needs a processor with AVX-512 and PyTorch with oneDNN")


@pytest.fixture
def layer() -> Linear:
    th.manual_seed(0)
    return Linear(400, 300)


@needs_onednn
def test_outputs_and_gradients_are_those_of_pytorch(layer: Linear) -> None:
    x = th.randn(64, 400, requires_grad=True)
    wanted = [x, *layer.parameters()]
    direction = th.randn(64, 300)
    ours, theirs = layer(x), F.linear(x, layer.weight, layer.bias)
    assert "OneDNN" in str(ours.grad_fn.next_functions[0][0])
    th.testing.assert_close(ours, theirs)
    th.testing.assert_close(th.autograd.grad(ours, wanted, direction), th.autograd.grad(theirs, wanted, direction))


@needs_onednn
def test_second_derivatives_are_those_of_pytorch(layer: Linear) -> None:
    x = th.randn(64, 400, requires_grad=True)

    def penalty(y: th.Tensor) -> th.Tensor:
        (gradient,) = th.autograd.grad(y.square().sum(), x, create_graph=True)
        return th.autograd.grad(gradient.square().mean(), layer.weight)[0]

    th.testing.assert_close(penalty(layer(x)), penalty(F.linear(x, layer.weight, layer.bias)))


def test_small_batches_wide_numbers_and_a_switched_off_onednn_stay_with_pytorch(
    layer: Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("oneDNN must not be used here")

    monkeypatch.setattr(_OneDNNProduct, "apply", refuse)
    layer(th.randn(MIN_ROWS - 1, 400))
    Linear(8, 8)(th.randn(64, 8))
    Linear(400, 300).double()(th.randn(64, 400, dtype=th.float64))
    with th.backends.mkldnn.flags(enabled=False, allow_tf32=None):
        layer(th.randn(64, 400))
