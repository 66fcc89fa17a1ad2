"""
BNDDPG's bfloat16 on a CPU without instructions for it: operands, results and gradients are rounded, products are in float32.

``BNDDPG(RoundedPolicy, env, mixed_precision=True)``, or ``policy: scripts.bfloat16.RoundedPolicy`` in a plan. An update takes
a fifth more time than one in float32; with PyTorch's own bfloat16 it takes twelve times as much on such a CPU.
"""

from typing import Any, TypeVar

import torch as th
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_dpg.bnddpg.policies import Actor, BNDDPGPolicy, Critic
from sb3_dpg.common.torch_layers import BatchNorm1d, EnsembleLinear

Network = TypeVar("Network", Actor, Critic)


def nearest(values: th.Tensor) -> th.Tensor:
    """The nearest numbers of bfloat16, in float32."""
    return values.bfloat16().float()


class Round(th.autograd.Function):
    """Rounds values, and their gradients."""

    @staticmethod
    def forward(ctx: Any, values: th.Tensor) -> th.Tensor:
        return nearest(values)

    @staticmethod
    def backward(ctx: Any, gradients: th.Tensor) -> th.Tensor:
        return nearest(gradients)


class Tanh(th.autograd.Function):
    """Its gradient is that at the rounded value: none from 0.998 on, which rounds to 1."""

    @staticmethod
    def forward(ctx: Any, values: th.Tensor) -> th.Tensor:
        rounded = nearest(values.tanh())
        ctx.save_for_backward(rounded)
        return rounded

    @staticmethod
    def backward(ctx: Any, gradients: th.Tensor) -> th.Tensor:
        (rounded,) = ctx.saved_tensors
        return nearest(nearest(gradients) * (1 - rounded.square()))


rounded: Any = Round.apply


class Products(nn.Module):
    """Rounds inputs, parameters and results where a loss asks for bfloat16; acting and evaluation do not."""

    def forward(self, input: th.Tensor) -> th.Tensor:
        if not th.is_autocast_enabled("cpu"):
            return super().forward(input)
        parameters = {name: rounded(parameter) for name, parameter in self.named_parameters()}
        with th.autocast("cpu", enabled=False):
            return rounded(th.func.functional_call(self, parameters, rounded(input)))


class RoundedLinear(Products, nn.Linear): ...


class RoundedEnsembleLinear(Products, EnsembleLinear): ...


class RoundedBatchNorm1d(BatchNorm1d):
    def forward(self, input: th.Tensor, train: bool = False) -> th.Tensor:
        normalized = super().forward(input, train)
        return rounded(normalized) if th.is_autocast_enabled("cpu") else normalized


class RoundedTanh(nn.Tanh):
    def forward(self, input: th.Tensor) -> th.Tensor:
        return Tanh.apply(input) if th.is_autocast_enabled("cpu") else super().forward(input)


ROUNDED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: RoundedLinear,
    EnsembleLinear: RoundedEnsembleLinear,
    BatchNorm1d: RoundedBatchNorm1d,
    nn.Tanh: RoundedTanh,
}


def with_rounding(network: Network) -> Network:
    """The same network, of layers that round."""
    for layer in network.modules():
        layer.__class__ = ROUNDED.get(type(layer), type(layer))
    return network


class RoundedPolicy(BNDDPGPolicy):
    """Networks whose losses round under ``mixed_precision``."""

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        return with_rounding(super().make_actor(features_extractor))

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> Critic:
        return with_rounding(super().make_critic(features_extractor))
