"""Matrix products by the library that is fastest for them: the same numbers as PyTorch's own."""

import pytest
import torch as th
from torch.nn import functional as F

from sb3_dpg.common import linear, processor
from sb3_dpg.common.linear import MIN_ROWS, Linear, onednn_is_faster, product
from sb3_dpg.common.processor import processor_is_intels

HAS_ONEDNN = th.backends.mkldnn.is_available() and th.backends.cpu.get_cpu_capability() == "AVX512"
needs_onednn = pytest.mark.skipif(not HAS_ONEDNN, reason="needs a processor with AVX-512 and PyTorch with oneDNN")
LIBRARIES = [False, pytest.param(True, marks=needs_onednn)]
# Hidden layer, layers at a narrow and at a wider input, more inputs than a batch has rows
SHAPES = [(64, 400, 300), (128, 4, 400), (512, 23, 256), (48, 376, 256), (64, 16, 8)]


@pytest.fixture(params=SHAPES, ids=str)
def shape(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    th.manual_seed(0)
    return request.param


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("onednn", LIBRARIES)
def test_outputs_and_gradients_are_those_of_pytorch(
    shape: tuple[int, int, int], bias: bool, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: onednn)
    rows, inputs, outputs = shape
    layer = Linear(inputs, outputs, bias=bias)
    x = th.randn(rows, inputs, requires_grad=True)
    wanted = [x, *layer.parameters()]
    # As in the mean over a batch
    direction = th.randn(rows, outputs) / rows
    ours, theirs = layer(x), F.linear(x, layer.weight, layer.bias)
    th.testing.assert_close(ours, theirs)
    gradients = th.autograd.grad(ours, wanted, direction)
    th.testing.assert_close(gradients, th.autograd.grad(theirs, wanted, direction))
    # Optimizers walk through weights and gradients in the order of memory
    assert all(gradient.is_contiguous() for gradient in gradients[1:])
    with th.no_grad():
        th.testing.assert_close(layer(x), theirs)


def test_second_derivatives_are_those_of_pytorch(shape: tuple[int, int, int]) -> None:
    rows, inputs, outputs = shape
    layer = Linear(inputs, outputs)
    x = th.randn(rows, inputs, requires_grad=True)

    def penalty(y: th.Tensor) -> th.Tensor:
        (gradient,) = th.autograd.grad(y.square().sum(), x, create_graph=True)
        return th.autograd.grad(gradient.square().mean(), layer.weight)[0]

    th.testing.assert_close(penalty(layer(x)), penalty(F.linear(x, layer.weight, layer.bias)))


def test_functional_transforms_are_those_of_pytorch(shape: tuple[int, int, int]) -> None:
    rows, inputs, outputs = shape
    layer, theirs = Linear(inputs, outputs), th.nn.Linear(inputs, outputs)
    theirs.load_state_dict(layer.state_dict())
    x, parameters = th.randn(rows, inputs), dict(layer.named_parameters())
    tangents = {name: th.randn_like(parameter) for name, parameter in parameters.items()}
    results = []
    for module in (layer, theirs):

        def call(parameters: dict[str, th.Tensor], module: th.nn.Module = module) -> th.Tensor:
            return th.func.functional_call(module, parameters, (x,))

        output, pullback = th.func.vjp(call, parameters)
        results.append((th.func.jvp(call, (parameters,), (tangents,)), pullback(th.ones_like(output))))
    th.testing.assert_close(results[0], results[1])


def test_gradients_that_nobody_asks_for_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    products = []
    monkeypatch.setattr(linear, "product", lambda x, weight: products.append(1) or product(x, weight))
    layer = Linear(64, 40)
    x = th.randn(64, 64, requires_grad=True)
    layer.weight.requires_grad = False
    y = layer(x).sum()
    products.clear()
    y.backward()
    assert len(products) == 1


@needs_onednn
def test_large_products_are_onednns(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: asked.append(1) or True)
    product(th.randn(64, 400), th.randn(300, 400))
    assert len(asked) == 1
    product(th.randn(64, 4), th.randn(300, 4))
    assert len(asked) == 1


@needs_onednn
def test_onednn_is_for_processors_that_are_not_intels(monkeypatch: pytest.MonkeyPatch) -> None:
    for description, is_intels in (("vendor_id : GenuineIntel", True), ("vendor_id : AuthenticAMD", False)):
        processor_is_intels.cache_clear()
        monkeypatch.setattr(processor, "processor_description", lambda description=description: description)
        assert processor_is_intels() == is_intels
        assert onednn_is_faster() != is_intels
    with th.backends.mkldnn.flags(enabled=False, allow_tf32=None):
        assert not onednn_is_faster()
    processor_is_intels.cache_clear()


def test_single_rows_other_numbers_and_other_shapes_stay_with_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("must be left to PyTorch")

    monkeypatch.setattr(linear, "product", refuse)
    monkeypatch.setattr(linear._Product, "apply", refuse)
    layer = Linear(400, 300)
    for inputs in (th.randn(MIN_ROWS - 1, 400), th.randn(2, 64, 400), th.randn(64, 400, dtype=th.float64)):
        layer.to(inputs.dtype)
        assert th.equal(layer(inputs), F.linear(inputs, layer.weight, layer.bias))
