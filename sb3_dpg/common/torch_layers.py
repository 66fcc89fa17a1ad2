"""Networks with batch normalisation."""

from collections.abc import Sequence
from dataclasses import dataclass

import gymnasium as gym
import torch as th
from gymnasium import spaces
from sb3_contrib.common.torch_layers import BatchRenorm1d
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_dpg.common.batch_norm import BatchNorm1d
from sb3_dpg.common.linear import Linear


@dataclass(frozen=True)
class BatchNorm:
    """
    What the batch-norm layers of a network are like.

    :param momentum: Weight of the newest batch in the running statistics, in (0, 1]
    :param eps: Added to the variance, positive
    :param renorm: Use Batch Renormalisation (Ioffe 2017, arXiv 1702.03275; sb3-contrib's layer) instead of batch
        normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167)
    :param renorm_warmup_steps: Passes in training mode before renormalisation's corrections begin
    """

    momentum: float = 0.1
    eps: float = 1e-5
    renorm: bool = False
    renorm_warmup_steps: int = 100_000

    def layer(self, num_features: int) -> nn.Module:
        """
        :param num_features: Number of features, the layer's input is (batch_size, num_features)
        :return: A normalisation layer, with a learned scale and shift
        """
        if self.renorm:
            return BatchRenorm1d(num_features, self.eps, self.momentum, warmup_steps=self.renorm_warmup_steps)
        return BatchNorm1d(num_features, self.eps, self.momentum)


def hidden_layers(
    input_dim: int, net_arch: Sequence[int], activation_fn: type[nn.Module], norm: BatchNorm | None
) -> list[nn.Module]:
    """
    Hidden layers in the order of the DDPG paper: linear, normalisation, activation.

    :param input_dim: Size of the input
    :param net_arch: Sizes of the hidden layers
    :param activation_fn: Activation after each of them
    :param norm: Their normalisation, None for none
    :return: The modules, in order
    """
    modules: list[nn.Module] = []
    for width in net_arch:
        # The normalisation subtracts the mean, so that a bias before it would be without effect
        modules.append(Linear(input_dim, width, bias=norm is None))
        if norm is not None:
            modules.append(norm.layer(width))
        modules.append(activation_fn())
        input_dim = width
    return modules


def output_layer(input_dim: int, output_dim: int, final_init: float | None) -> nn.Linear:
    """
    :param input_dim: Size of the input
    :param output_dim: Size of the output
    :param final_init: Weights and bias start uniform in [-final_init, final_init], so that first outputs are near zero
        (3e-3 in the DDPG paper, 3e-4 from pixels); None: PyTorch's +-1/sqrt(input_dim)
    :return: The last layer of a network
    """
    layer = nn.Linear(input_dim, output_dim)
    if final_init is not None:
        nn.init.uniform_(layer.weight, -final_init, final_init)
        nn.init.uniform_(layer.bias, -final_init, final_init)
    return layer


def last_width(input_dim: int, net_arch: Sequence[int]) -> int:
    """
    :param input_dim: Size of a network's input
    :param net_arch: Sizes of its hidden layers, possibly none
    :return: Size of what its last layer reads
    """
    return net_arch[-1] if len(net_arch) > 0 else input_dim


class PaperCNN(BaseFeaturesExtractor):
    """
    The convolutions of the DDPG paper's pixel network (Lillicrap et al. 2016, section 7): three layers of 32 filters
    without pooling, batch normalisation on their input and on each of them. The paper does not state the kernels and
    strides: 3 x 3 with strides 2, 1 and 1 are our choice. The two layers of 200 units that follow are in ``net_arch``.

    :param observation_space: Images, channels first, at least 11 x 11
    :param batch_norm: Whether to normalise
    :param momentum: Weight of the newest batch in the running statistics
    :param eps: Added to the variance
    """

    def __init__(
        self, observation_space: gym.Space, batch_norm: bool = True, momentum: float = 0.1, eps: float = 1e-5
    ) -> None:
        assert isinstance(observation_space, spaces.Box), f"PaperCNN needs images, not {observation_space}"
        channels, height, width = observation_space.shape
        if min(height, width) < 11:
            raise ValueError(f"PaperCNN needs images of at least 11 x 11 pixels, not {height} x {width}")

        def norm(maps: int) -> list[nn.Module]:
            return [nn.BatchNorm2d(maps, eps, momentum)] if batch_norm else []

        modules = norm(channels)
        for maps, stride in ((channels, 2), (32, 1), (32, 1)):
            modules += [nn.Conv2d(maps, 32, 3, stride, bias=not batch_norm), *norm(32), nn.ReLU()]
        cnn = nn.Sequential(*modules, nn.Flatten())
        with th.no_grad():
            features_dim = cnn.eval()(th.zeros(1, channels, height, width)).shape[1]
        super().__init__(observation_space, features_dim)
        self.cnn = cnn.train()

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: Images, (batch_size, channels, height, width), in [0, 1]
        :return: Features, (batch_size, features_dim)
        """
        return self.cnn(observations)
