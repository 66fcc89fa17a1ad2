"""What the contract tests run: SB3's DDPG and our algorithms, made alike, on an environment of any observation space."""

import functools
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from tests.algorithms import VARIANTS, make

ACTIONS = spaces.Box(-2.0, 3.0, (2,))
OBSERVATIONS = spaces.Box(-1.0, 1.0, (3,))
EPISODE = 10

SB3 = ("ddpg", "td3", "sac")
OURS = [name for name in VARIANTS if name not in SB3]
#: Those that learn from minibatches of a replay buffer, as DDPG does
OURS_WITH_REPLAY = [name for name in OURS if "learning_starts" in VARIANTS[name].arguments]
BNDDPGS = [name for name in OURS if name.startswith("bnddpg")]
COPDACQS = [name for name in OURS if name.startswith("copdacq")]


class Observed(gym.Env):
    """
    Random observations of a space, episodes of ten steps, the reward depends on the action alone.

    :param observation_space: The space, seeded by ``reset``
    :param action_space: Actions
    """

    def __init__(
        self, observation_space: spaces.Space = OBSERVATIONS, action_space: spaces.Box = ACTIONS, length: int = EPISODE
    ) -> None:
        # A copy, as each environment draws from its own
        self.observation_space = deepcopy(observation_space)
        self.action_space = action_space
        self.length = length
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: np.ndarray) -> Any:
        assert self.action_space.contains(action), action
        self.steps += 1
        return self.observation_space.sample(), float(-np.square(action).sum()), self.steps == self.length, False, {}


def build(name: str, env: Any = None, policy: str | None = None, **kwargs: Any) -> OffPolicyAlgorithm:
    """
    :param name: One of ``VARIANTS``
    :param env: The environment, None for a new ``Observed()``
    :param policy: Alias of the policy, None for the variant's
    :param kwargs: Arguments of the constructor, in place of the variant's
    :return: A model, made as anybody makes it: nothing here knows whose algorithm it is
    """
    env = Observed() if env is None else env
    sigma = 0.2 * np.ones(env.action_space.shape)
    return make(name, env, policy, **dict(action_noise=NormalActionNoise(0.0 * sigma, sigma)) | kwargs)


@functools.cache
def trained(name: str) -> OffPolicyAlgorithm:
    """
    :param name: One of ``VARIANTS``
    :return: A model after 30 steps, which all tests share: none may train or change it
    """
    return build(name).learn(30)
