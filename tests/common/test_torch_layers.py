"""Our layers against PyTorch's."""

import pytest
import torch as th
from torch import nn

from sb3_dpg.common.torch_layers import BatchNorm1d, EnsembleLinear, InputNorm, NormalizedSequential, batch_norm_layers


def pair() -> tuple[BatchNorm1d, nn.BatchNorm1d]:
    th.manual_seed(0)
    ours, theirs = BatchNorm1d(5, eps=1e-3, momentum=0.2), nn.BatchNorm1d(5, eps=1e-3, momentum=0.2)
    with th.no_grad():
        for layer in (ours, theirs):
            layer.weight.copy_(th.linspace(0.5, 2, 5))
            layer.bias.copy_(th.linspace(-1, 1, 5))
    return ours, theirs


@pytest.mark.parametrize("train", [True, False])
def test_outputs_gradients_and_statistics_are_those_of_pytorch(train: bool) -> None:
    ours, theirs = pair()
    theirs.train(train)
    # The layer's own mode has no say
    ours.train(not train)
    for _ in range(3):
        x = th.randn(7, 5) * 3 + 1
        direction = th.randn(7, 5)
        inputs = x.clone().requires_grad_(), x.clone().requires_grad_()
        outputs = ours(inputs[0], train), theirs(inputs[1])
        th.testing.assert_close(*outputs)
        gradients = [
            th.autograd.grad(output, [leaf, *layer.parameters()], direction)
            for output, leaf, layer in zip(outputs, inputs, (ours, theirs), strict=True)
        ]
        th.testing.assert_close(*gradients)
    th.testing.assert_close(ours.running_mean, theirs.running_mean)
    th.testing.assert_close(ours.running_var, theirs.running_var)


def test_an_ensemble_is_its_networks_side_by_side() -> None:
    th.manual_seed(0)
    layers = [nn.Linear(4, 3) for _ in range(2)]
    norms = [nn.BatchNorm1d(3) for _ in range(2)]
    ensemble = NormalizedSequential(EnsembleLinear(layers), BatchNorm1d(6))
    x = th.randn(8, 4)
    ours = ensemble(x.expand(2, -1, -1), train=True)
    theirs = th.stack([norm(layer(x)) for layer, norm in zip(layers, norms, strict=True)])
    th.testing.assert_close(ours, theirs)
    th.testing.assert_close(ensemble[1].running_mean, th.cat([norm.running_mean for norm in norms]))
    # The first network alone
    first = ensemble(x[None])
    th.testing.assert_close(first[0], norms[0].eval()(layers[0](x)))
    with_bias, without = EnsembleLinear(layers), EnsembleLinear([nn.Linear(4, 3, bias=False)])
    assert with_bias.bias is not None
    assert without.bias is None
    th.testing.assert_close(without(x[None])[0], x @ without.weight[0].T)


def test_input_norm_by_hand() -> None:
    norm = InputNorm(2, momentum=0.25)
    x = th.tensor([[1.0, 10.0], [3.0, 30.0]])
    assert th.equal(norm(x), x.clamp(max=10))  # running statistics of the start: mean 0, variance 1
    th.testing.assert_close(norm(x, train=True), th.tensor([[-1.0, -1.0], [1.0, 1.0]]))
    th.testing.assert_close(norm.running_mean, th.tensor([2.0, 20.0]))
    th.testing.assert_close(norm.running_var, th.tensor([1.0, 100.0]))
    for _ in range(4):  # weights 1/2, 1/3, 1/4 and then the momentum
        norm(x + 6.0, train=True)
    th.testing.assert_close(norm.running_mean[0], th.tensor(2.0 + 6.0 * (1 - 1 / 2 * 2 / 3 * 3 / 4 * 3 / 4)))
    assert norm(th.full((1, 2), 1e9)).tolist() == [[10.0, 10.0]]


def test_input_norm_has_the_gradient_of_pytorchs() -> None:
    x, direction = th.randn(2, 7, 5, dtype=th.double)
    ours, theirs = InputNorm(5, eps=1e-5).double(), nn.BatchNorm1d(5, eps=1e-5, affine=False).double()
    x.requires_grad_()
    th.testing.assert_close(
        th.autograd.grad(ours(x, train=True), x, direction), th.autograd.grad(theirs(x), x, direction), rtol=1e-4, atol=1e-6
    )


def test_a_batch_of_one_is_refused_in_training_only() -> None:
    layer, _ = pair()
    with pytest.raises(ValueError, match="more than 1 value"):
        layer(th.zeros(1, 5), train=True)
    layer(th.zeros(1, 5))


def test_layers_are_found_by_type() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Linear(2, 2), nn.Sequential(BatchNorm1d(4), InputNorm(2)))
    assert [type(layer).__name__ for layer in batch_norm_layers(network)] == ["BatchNorm2d", "BatchNorm1d", "InputNorm"]
