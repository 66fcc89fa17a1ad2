"""Our batch-norm layer against PyTorch's."""

import pytest
import torch as th
from torch import nn

from sb3_dpg.common.batch_norm import BatchNorm1d, BatchNormStatistics


def pair() -> tuple[BatchNorm1d, nn.BatchNorm1d]:
    th.manual_seed(0)
    ours, theirs = BatchNorm1d(5, eps=1e-3, momentum=0.2), nn.BatchNorm1d(5, eps=1e-3, momentum=0.2)
    with th.no_grad():
        for layer in (ours, theirs):
            layer.weight.copy_(th.linspace(0.5, 2, 5))
            layer.bias.copy_(th.linspace(-1, 1, 5))
    return ours, theirs


@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics_are_those_of_pytorch(training: bool) -> None:
    ours, theirs = pair()
    ours.train(training), theirs.train(training)
    for _ in range(3):
        x = th.randn(7, 5) * 3 + 1
        direction = th.randn(7, 5)
        inputs = x.clone().requires_grad_(), x.clone().requires_grad_()
        outputs = ours(inputs[0]), theirs(inputs[1])
        th.testing.assert_close(*outputs)
        gradients = [
            th.autograd.grad(output, [leaf, *layer.parameters()], direction)
            for output, leaf, layer in zip(outputs, inputs, (ours, theirs), strict=True)
        ]
        th.testing.assert_close(*gradients)
    th.testing.assert_close(ours.running_mean, theirs.running_mean)
    th.testing.assert_close(ours.running_var, theirs.running_var)


def test_a_batch_of_one_is_refused_in_training_only() -> None:
    layer, _ = pair()
    with pytest.raises(ValueError, match="batch of one"):
        layer(th.zeros(1, 5))
    layer.eval()(th.zeros(1, 5))


def test_state_without_and_with_metadata_loads() -> None:
    layer, _ = pair()
    layer(th.randn(7, 5))
    other = BatchNorm1d(5)
    other.load_state_dict(layer.state_dict())
    assert th.equal(other.running_mean, layer.running_mean)
    # As read from a safetensors file
    plain = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    again = BatchNorm1d(5)
    again.load_state_dict(plain)
    assert plain.keys() == dict(layer.state_dict()).keys()
    assert th.equal(again.running_var, layer.running_var)


@pytest.mark.parametrize("training", [True, False])
def test_settings_are_put_back_after_an_error(training: bool) -> None:
    layer, _ = pair()
    layer.train(training)
    statistics = BatchNormStatistics(nn.Sequential(layer))
    for context, expected in ((statistics.from_batch, (True, 0.0)), (statistics.from_running, (False, 0.2))):
        with context():
            assert (layer.training, layer.momentum) == expected
        with pytest.raises(KeyError), context():
            raise KeyError
        assert (layer.training, layer.momentum) == (training, 0.2)
