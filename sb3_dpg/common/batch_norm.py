"""Batch-norm layers, and which statistics they use in which pass: decided here and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch as th
from sb3_contrib.common.torch_layers import BatchRenorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

NORM_LAYERS = (_BatchNorm, BatchRenorm)


class BatchNorm1d(nn.BatchNorm1d):
    """
    PyTorch's layer for batches of features, without what it does besides on every pass: the count of batches seen (needed
    for a cumulative average only), the choice among what is fixed here: a quarter of its time at 64 x 400.

    :param num_features: Number of features
    :param eps: Added to the variance
    :param momentum: Weight of the newest batch in the running statistics
    """

    momentum: float  # never None: there is no cumulative average

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps, momentum)
        del self.num_batches_tracked

    def _load_from_state_dict(self, *args: Any) -> None:
        # PyTorch's layer adds the count to states without one
        nn.Module._load_from_state_dict(self, *args)

    def forward(self, input: th.Tensor) -> th.Tensor:
        """
        :param input: (batch_size, num_features), with at least 2 rows in training mode
        :return: The input normalised, scaled and shifted
        """
        if self.training and len(input) < 2:
            raise ValueError("a batch of one has no variance to normalise by: batch normalisation needs 2 rows to learn from")
        learned, buffers = self._parameters, self._buffers
        return th.batch_norm(
            input,
            learned["weight"],
            learned["bias"],
            buffers["running_mean"],
            buffers["running_var"],
            self.training,
            self.momentum,
            self.eps,
            True,
        )


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
        with self._changed(training=False):
            yield

    @contextmanager
    def in_training(self) -> Iterator[None]:
        """Normalise by the batch's own statistics, renormalised where the layers do so, and let the running ones follow."""
        with self._changed(training=True):
            yield

    @contextmanager
    def from_batch(self) -> Iterator[None]:
        """Normalise by the batch's own statistics, and leave the running ones as they are."""
        # With momentum 0 both families of layers write back the running mean and variance that they read
        with self._changed(training=True, momentum=0.0):
            yield

    @contextmanager
    def _changed(self, **settings: Any) -> Iterator[None]:
        # Module.__setattr__ looks for parameters and buffers first, twenty times the time of writing the attribute itself
        attributes = [vars(layer) for layer in self.layers]
        before = [{name: layer[name] for name in settings} for layer in attributes]
        for layer in attributes:
            layer.update(settings)
        try:
            yield
        finally:
            for layer, values in zip(attributes, before, strict=True):
                layer.update(values)

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
