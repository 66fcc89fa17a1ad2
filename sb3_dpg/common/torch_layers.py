"""Layers that are normalised by a batch where a loss asks for it, and by their running statistics everywhere else."""

from collections.abc import Sequence

import torch as th
from sb3_contrib.common.torch_layers import BatchRenorm
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

BATCH_NORM_LAYERS = (_BatchNorm, BatchRenorm)


class BatchNorm1d(nn.BatchNorm1d):
    """
    Batch normalisation whose statistics are an argument of the pass, not a state of the layer: whoever looks at a network, in
    this thread or another, uses the running statistics and changes nothing.

    :param num_features: Number of features, of all networks of an ensemble
    :param eps: Added to the variance
    :param momentum: Weight of the newest batch in the running statistics
    """

    momentum: float  # never None: there is no cumulative average
    running_mean: th.Tensor
    running_var: th.Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps, momentum)

    def forward(self, input: th.Tensor, train: bool = False) -> th.Tensor:
        """
        :param input: Features, (batch_size, n_features); of an ensemble, or its first networks, (n_networks, batch_size,
            n_features)
        :param train: Normalise by the batch's own statistics, and let the running ones follow
        :return: The input normalised, scaled and shifted
        """
        rows = input.transpose(0, 1).flatten(1) if input.dim() == 3 else input
        n = rows.shape[1]
        normalized = F.batch_norm(
            rows, self.running_mean[:n], self.running_var[:n], self.weight[:n], self.bias[:n], train, self.momentum, self.eps
        )
        return normalized.view(len(rows), *input.shape[::2]).transpose(0, 1) if input.dim() == 3 else normalized


class InputNorm(nn.BatchNorm1d):
    """
    Batch normalisation of a network's input, for observations of any scale: standard deviations from 1e-5 up, a mean of
    up to 1e4 standard deviations. There is no learned scale and shift: the layer that follows has them.

    :param num_features: Number of features
    :param momentum: Weight of the newest batch in the running statistics
    :param eps: Added to the variance. What a network computed is rounded, so that its features need more than the default
    :param clip: Largest absolute value that is passed on. A feature that was constant for long, and then moves, is thousands
        of its standard deviations away from its mean
    """

    #: Added to the variance: the square of a standard deviation that is as good as none ...
    EPS = 1e-14
    #: ... and of the rounding error of the mean, in single precision and after averaging, relative to it
    ROUNDING = 1e-5

    momentum: float
    running_mean: th.Tensor
    running_var: th.Tensor
    num_batches_tracked: th.Tensor

    def __init__(self, num_features: int, momentum: float = 0.1, eps: float = EPS, clip: float = 10.0) -> None:
        super().__init__(num_features, eps, momentum, affine=False)
        self.clip = clip

    def forward(self, input: th.Tensor, train: bool = False) -> th.Tensor:
        """
        :param input: Features, (batch_size, num_features)
        :param train: Normalise by the batch's own statistics, and let the running ones follow
        :return: The input normalised, within [-clip, clip]
        """
        # A features extractor may compute in bfloat16
        input = input.to(self.running_mean.dtype)
        if train:
            variance, mean = th.var_mean(input, dim=0, correction=0)
            with th.no_grad():
                # A plain average at first: the initial 0 and 1 may be far from the observations' scale
                self.num_batches_tracked += 1
                weight = (1.0 / self.num_batches_tracked).clamp(min=self.momentum)
                self.running_mean.lerp_(mean, weight)
                self.running_var.lerp_(variance, weight)
        else:
            variance, mean = self.running_var, self.running_mean
        return ((input - mean) / self.std(mean, variance)).clamp(-self.clip, self.clip)

    def std(self, mean: th.Tensor, variance: th.Tensor) -> th.Tensor:
        """The standard deviation that an input of this mean and variance is divided by."""
        return (variance + (self.ROUNDING * mean).square() + self.eps).sqrt()


class EnsembleLinear(nn.Module):
    """
    One linear layer of several networks of the same shape, computed at once.

    :param layers: The layer of each network
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(th.stack([layer.weight.detach() for layer in layers]))
        has_bias = layers[0].bias is not None
        self.bias = nn.Parameter(th.stack([layer.bias.detach()[None] for layer in layers])) if has_bias else None

    def forward(self, input: th.Tensor) -> th.Tensor:
        """
        :param input: What the networks, or the first of them, get: (n_networks, batch_size, in_features)
        :return: Their outputs, (n_networks, batch_size, out_features)
        """
        weight = self.weight[: len(input)].mT
        return th.bmm(input, weight) if self.bias is None else th.baddbmm(self.bias[: len(input)], input, weight)


class NormalizedSequential(nn.Sequential):
    """Layers in a row, of which those that normalise are told by which statistics."""

    def forward(self, input: th.Tensor, train: bool = False) -> th.Tensor:
        """
        :param input: The input of the first layer
        :param train: Normalise by the batch's own statistics, and let the running ones follow
        :return: The output of the last layer
        """
        for layer in self:
            input = layer(input, train) if isinstance(layer, BatchNorm1d | InputNorm) else layer(input)
        return input


def batch_norm_layers(network: nn.Module) -> list[nn.Module]:
    """
    Find batch-norm layers by type: by the names of their buffers, as SB3 does, those of other libraries are missed.

    :param network: A network
    :return: Its layers of batch normalisation, PyTorch's and sb3-contrib's Batch Renormalisation alike
    """
    return [layer for layer in network.modules() if isinstance(layer, BATCH_NORM_LAYERS)]


def batch_norm_statistics(network: nn.Module) -> list[th.Tensor]:
    """
    :param network: A network
    :return: Its running statistics, and what else its layers of batch normalisation keep in buffers
    """
    return [buffer for layer in batch_norm_layers(network) for buffer in layer.buffers()]


def linear(input_dim: int, output_dim: int, bias: bool = True, init: float | None = None) -> nn.Linear:
    """
    :param input_dim: Size of the input
    :param output_dim: Size of the output
    :param bias: Whether there is a bias
    :param init: Weights and bias start uniform in [-init, init], None: in PyTorch's +-1/sqrt(input_dim)
    :return: A linear layer
    """
    layer = nn.Linear(input_dim, output_dim, bias)
    if init is not None:
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -init, init)
    return layer
