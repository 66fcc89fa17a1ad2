"""Features of one's own: a fixed basis for COPDACQ, a network for BNDDPG. Both are SB3's BaseFeaturesExtractor."""

import argparse

import torch as th
from gymnasium import spaces
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_dpg import BNDDPG, COPDACQ

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=5_000, help="environment steps of BNDDPG; COPDACQ has ten times as many")
steps = parser.parse_args().steps


class PendulumBins(BaseFeaturesExtractor):
    """One-hot bins of the pendulum's angle and velocity: one feature of all is 1, the others 0."""

    n_active = 1  # how many features are nonzero at once: COPDACQ divides its step sizes by this number

    def __init__(self, observation_space: spaces.Box, n_bins: int = 15) -> None:
        super().__init__(observation_space, n_bins * n_bins)
        self.n_bins = n_bins

    def forward(self, observations: th.Tensor) -> th.Tensor:
        cosine, sine, velocity = observations.unbind(1)
        angle = th.atan2(sine, cosine) / th.pi  # [-1, 1]
        bins = [((x + 1) / 2 * self.n_bins).long().clamp(0, self.n_bins - 1) for x in (angle, velocity / 8)]
        return nn.functional.one_hot(bins[0] * self.n_bins + bins[1], self.features_dim).float()


class Products(BaseFeaturesExtractor):
    """The observation and the products of its components, through a layer that is learned."""

    pairs: th.Tensor

    def __init__(self, observation_space: spaces.Box, features_dim: int = 32) -> None:
        super().__init__(observation_space, features_dim)
        size = observation_space.shape[0]
        self.register_buffer("pairs", th.triu_indices(size, size))  # goes to a GPU with the network
        self.layer = nn.Linear(size + self.pairs.shape[1], features_dim)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        products = observations[:, self.pairs].prod(1)  # (batch_size, 2, n_pairs) -> (batch_size, n_pairs)
        return self.layer(th.cat([observations, products], dim=1)).relu()


linear = COPDACQ(
    "LinearPolicy",
    "Pendulum-v1",
    gamma=0.95,
    action_noise={"type": "autoregressive", "lambda": 0.85, "std": 0.7},
    policy_kwargs=dict(features_extractor_class=PendulumBins, features_extractor_kwargs=dict(n_bins=15)),
    seed=0,
)
deep = BNDDPG("MlpPolicy", "Pendulum-v1", policy_kwargs=dict(features_extractor_class=Products), seed=0)
for model, budget in ((linear, 10 * steps), (deep, steps)):
    model.learn(budget)
    mean, std = evaluate_policy(model, model.get_env(), n_eval_episodes=10)
    print(f"{type(model).__name__}: return {mean:.0f} +- {std:.0f}")
