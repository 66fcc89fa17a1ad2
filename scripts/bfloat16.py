"""
BNDDPG's bfloat16 on a CPU without instructions for it: operands, results and gradients are rounded, products are in float32.

``BNDDPG(RoundedPolicy, env, mixed_precision=True)``, or ``policy: scripts.bfloat16.RoundedPolicy`` in a plan. An update takes
a fifth more time than one in float32; with PyTorch's own bfloat16 it takes twelve times as much on such a CPU.

``python -m scripts.bfloat16 HalfCheetah-v5 110 111 112`` trains with each seed in both number formats.
"""

import argparse
from typing import Any, TypeVar

import gymnasium as gym
import torch as th
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_dpg import BNDDPG
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


def train_and_evaluate(env_id: str, seed: int, steps: int, mixed_precision: bool) -> float:
    """
    :param env_id: Id of the environment
    :param seed: Seed of the training
    :param steps: Steps of the training
    :param mixed_precision: Whether losses are computed in bfloat16
    :return: Mean return of 20 episodes, the same initial states for all agents
    """
    model = BNDDPG(RoundedPolicy, env_id, seed=seed, mixed_precision=mixed_precision).learn(steps)
    env = Monitor(gym.make(env_id))
    env.reset(seed=1000)
    mean, _ = evaluate_policy(model, env, n_eval_episodes=20)
    return float(mean)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train in float32 and in rounded bfloat16.")
    parser.add_argument("env")
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--steps", type=int, default=25_000)
    args = parser.parse_args()
    for seed in args.seeds:
        for name, mixed_precision in (("float32", False), ("bfloat16", True)):
            mean_return = train_and_evaluate(args.env, seed, args.steps, mixed_precision)
            print(f"{args.env}, seed {seed}, {name}: {mean_return:.1f}", flush=True)


if __name__ == "__main__":
    main()
