"""How far running statistics are from those of the data that they normalise."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch as th
from sb3_contrib.common.torch_layers import BatchRenorm
from torch import nn

from sb3_dpg.common.batch_norm import BatchNormStatistics


def batch_norm_drift(network: nn.Module, forward: Callable[[], Any]) -> float | None:
    """
    Mean over features of abs(batch mean - running mean) / running standard deviation, of the layer where it is largest.

    :param network: The network, in evaluation mode
    :param forward: Passes a batch through it; layers that the pass does not reach do not count
    :return: The drift, in standard deviations: 0 if running statistics are those of the batch; None without any such layer
    """
    drifts: list[float] = []

    def measure(layer: nn.Module, inputs: tuple[th.Tensor, ...]) -> None:
        eps: Any = layer.eps
        mean: Any
        variance: Any
        mean, variance = (
            (layer.ra_mean, layer.ra_var) if isinstance(layer, BatchRenorm) else (layer.running_mean, layer.running_var)
        )
        # Features are on axis 1, (batch_size, features) or (batch_size, channels, height, width)
        batch_mean = inputs[0].detach().transpose(0, 1).flatten(1).mean(1)
        drifts.append(float(((batch_mean - mean).abs() / (variance + eps).sqrt()).mean()))

    with ExitStack() as stack, th.no_grad():
        for layer in BatchNormStatistics(network).layers:
            stack.callback(layer.register_forward_pre_hook(measure).remove)
        forward()
    return max(drifts) if drifts else None
