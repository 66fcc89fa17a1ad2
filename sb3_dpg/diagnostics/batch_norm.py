"""How far running statistics are from those of the data that they normalise."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch as th
from sb3_contrib.common.torch_layers import BatchRenorm
from torch import nn

from sb3_dpg.common.torch_layers import BatchNorm1d, InputNorm, batch_norm_layers


def batch_norm_drift(network: nn.Module, forward: Callable[[], Any]) -> float | None:
    """
    How far running statistics are from those of a batch, mean over the features of the layer where it is largest.

    The distance is that of two normal distributions, of mean m and standard deviation s (2-Wasserstein distance), in running
    standard deviations: sqrt((m - m_running)^2 + (s - s_running)^2) / s_running. A mean alone would not show statistics that
    have stayed at their initial 0 and 1, where data is centred but wide.

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
        batch = inputs[0].detach().transpose(0, 1).flatten(1)
        if isinstance(layer, BatchNorm1d) and inputs[0].dim() == 3:
            # An ensemble's (n_networks, batch_size, features): those of all networks side by side
            batch = inputs[0].detach().transpose(1, 2).flatten(0, 1)
            # An actor may climb the first ones of them alone
            mean, variance = mean[: len(batch)], variance[: len(batch)]
        deviation = layer.std if isinstance(layer, InputNorm) else lambda _, variance: (variance + eps).sqrt()
        batch_mean, std = batch.mean(1), deviation(mean, variance)
        batch_std = deviation(batch_mean, batch.var(1, correction=0))
        drifts.append(float((th.hypot(batch_mean - mean, batch_std - std) / std).mean()))

    with ExitStack() as stack, th.no_grad():
        for layer in batch_norm_layers(network):
            # Without running statistics nothing drifts
            if getattr(layer, "track_running_stats", True):
                stack.enter_context(layer.register_forward_pre_hook(measure))
        forward()
    return max(drifts) if drifts else None
