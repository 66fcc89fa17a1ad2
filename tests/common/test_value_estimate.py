"""ValueEstimateCallback where episodes are short and actions have several axes; the rest is in test_callbacks.py."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg.common.callbacks import ValueEstimateCallback
from tests.algorithms import make

LENGTH = 10


class Endless(gym.Env[np.ndarray, np.ndarray]):
    """Reward 1 in each step, without end."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, action_shape: tuple[int, ...] = (1,)) -> None:
        self.action_space = spaces.Box(-2.0, 2.0, action_shape, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert action.shape == self.action_space.shape
        return np.zeros(2, np.float32), 1.0, False, False, {}


def endless(*action_shape: int) -> gym.Env:
    return TimeLimit(Endless(action_shape or (1,)), LENGTH)


def untrained(algorithm: type[OffPolicyAlgorithm], env: gym.Env, **kwargs: Any) -> OffPolicyAlgorithm:
    small = dict(learning_starts=1000, buffer_size=100, policy_kwargs=dict(net_arch=[4]), seed=0, device="cpu")
    return algorithm("MlpPolicy", env, **small | kwargs)


@pytest.mark.parametrize("evaluates", [False, True])
def test_episodes_left_out_as_a_whole_are_warned_of_once(evaluates: bool) -> None:
    callback = ValueEstimateCallback(endless() if evaluates else None, eval_freq=LENGTH, n_episodes=1)
    model = untrained(TD3, endless())
    with pytest.warns(UserWarning, match=r"after 10 steps.*gamma\^10 = 0\.9.*max_bootstrap_weight=0\.5") as told:
        model.learn(4 * LENGTH, callback=callback)
    assert len([warning for warning in told if "max_bootstrap_weight" in str(warning.message)]) == 1
    assert len(callback.pairs[0]) == 0


def test_no_warning_where_states_are_left() -> None:
    # 0.9^7 = 0.48: the first four states of the episode
    callback = ValueEstimateCallback()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        untrained(TD3, endless(), gamma=0.9).learn(2 * LENGTH, callback=callback)
    assert len(callback.pairs[0]) == 2 * 4


@pytest.mark.parametrize("evaluates", [False, True])
@pytest.mark.parametrize("shape", [(2, 2), (3, 1)])
@pytest.mark.parametrize("name", ["td3", "sac", "copdacq"])
def test_actions_of_several_axes(name: str, shape: tuple[int, ...], evaluates: bool) -> None:
    env = endless(*shape)
    noise = NormalActionNoise(np.zeros(shape), np.full(shape, 0.1))
    model = make("copdacq", env, action_noise=noise) if name == "copdacq" else untrained({"td3": TD3, "sac": SAC}[name], env)
    eval_env = endless(*shape) if evaluates else None
    callback = ValueEstimateCallback(eval_env, eval_freq=LENGTH, n_episodes=1, max_bootstrap_weight=1.0)
    model.learn(LENGTH, callback=callback)
    estimates, returns = callback.pairs
    assert len(estimates) == len(returns) == LENGTH
    assert np.isfinite(estimates).all()
    assert np.isfinite(returns).all()


def test_critic_sees_flat_actions() -> None:
    seen: list[th.Tensor] = []

    def critic(observations: th.Tensor, actions: th.Tensor) -> tuple[th.Tensor, ...]:
        seen.append(actions)
        return (th.zeros(len(actions), 1),)

    model = untrained(TD3, endless(2, 2))
    model.critic = critic
    model.learn(LENGTH, callback=ValueEstimateCallback(max_bootstrap_weight=1.0))
    assert model.replay_buffer is not None
    np.testing.assert_allclose(seen[-1], model.replay_buffer.actions[:LENGTH, 0], rtol=1e-6)
