"""Which statistics batch-norm layers use, and which pass may move the running ones: decided here and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch as th
from sb3_contrib.common.torch_layers import BatchRenorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

NORM_LAYERS = (_BatchNorm, BatchRenorm)


class BatchNormStatistics:
    """
    The statistics of all batch-norm layers of one network, PyTorch's and sb3-contrib's Batch Renormalisation alike.

    Layers are found by type: finding them by the names of their buffers (as SB3 does) misses those of other libraries.
    A network without such layers is fine, and everything here is then without effect.

    :param network: The network; its layers are looked up once, here
    """

    def __init__(self, network: nn.Module) -> None:
        self.layers = [layer for layer in network.modules() if isinstance(layer, NORM_LAYERS)]
        self.buffers = [buffer for layer in self.layers for buffer in layer.buffers()]

    @contextmanager
    def from_running(self) -> Iterator[None]:
        """Normalise by the running statistics, and leave them as they are."""
        modes = [layer.training for layer in self.layers]
        for layer in self.layers:
            layer.training = False
        try:
            yield
        finally:
            for layer, mode in zip(self.layers, modes, strict=True):
                layer.training = mode

    @contextmanager
    def from_batch(self) -> Iterator[None]:
        """Normalise by the batch's own statistics, and leave the running ones as they are."""
        states = [(layer.training, layer.momentum) for layer in self.layers]
        for layer in self.layers:
            # With momentum 0 both families of layers write back the running mean and variance that they read
            layer.training, layer.momentum = True, 0.0
        try:
            yield
        finally:
            for layer, (mode, momentum) in zip(self.layers, states, strict=True):
                layer.training, layer.momentum = mode, momentum

    @th.no_grad()
    def copy_from(self, source: "BatchNormStatistics") -> None:
        """
        Take over the running statistics of another network of the same architecture.

        :param source: The other network's statistics
        :raises ValueError: if the layers of the two networks do not correspond
        """
        if len(source.buffers) != len(self.buffers):
            raise ValueError(f"cannot copy {len(source.buffers)} batch-norm buffers into {len(self.buffers)}")
        if self.buffers:
            th._foreach_copy_(self.buffers, source.buffers)
