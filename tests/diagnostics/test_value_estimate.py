"""The critic's estimates: where the returns are known, where episodes are short, and where actions have several axes."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from sb3_contrib import TQC, CrossQ
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.callbacks import EveryNTimesteps
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_dpg import BNDDPG
from sb3_dpg.diagnostics import ValueEstimateCallback
from sb3_dpg.diagnostics.value_estimate import discounted_returns
from tests.algorithms import make
from tests.common.recorded import remember_logs, settings

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


def test_steps_that_are_not_seen_are_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"seen 1 steps of 3: .* EveryNTimesteps"):
        untrained(TD3, endless()).learn(2 * LENGTH, callback=EveryNTimesteps(3, ValueEstimateCallback()))


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


class Countdown(gym.Env):
    """Reward 1 in each of ``length`` steps, the state is the time; ends by termination or never."""

    observation_space = spaces.Box(0.0, 100.0, (1,), np.float32)
    action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)

    def __init__(self, length, terminates=True):
        self.length, self.terminates = length, terminates

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        observation = np.array([self.time], np.float32)
        return observation, 1.0, self.terminates and self.time == self.length, False, {}


GAMMA, COUNTED = 0.9, 12


def countdown(n_envs, terminates=True):
    return DummyVecEnv([lambda: TimeLimit(Countdown(COUNTED, terminates), COUNTED + terminates) for _ in range(n_envs)])


def model_with_critic(env, critic):
    """A TD3 that does not train, with a critic of our choice."""
    model = TD3("MlpPolicy", env, **settings(gamma=GAMMA, learning_starts=100_000))
    model.critic = critic
    return model


def exact_critic(observations, actions):
    """The value of a Countdown that terminates, and a second critic that claims more."""
    values = (1 - GAMMA ** (COUNTED - observations)) / (1 - GAMMA)
    return values, values + 1.0


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("evaluates", [False, True])
@pytest.mark.parametrize("error", [0.0, 0.7])
def test_overestimation_where_returns_are_known(n_envs, evaluates, error):
    model = model_with_critic(countdown(n_envs), lambda s, a: tuple(q + error for q in exact_critic(s, a)))
    writer = remember_logs(model)
    callback = ValueEstimateCallback(countdown(2), eval_freq=COUNTED, n_episodes=3) if evaluates else ValueEstimateCallback()
    model.learn(2 * COUNTED * n_envs, callback=callback, log_interval=1)
    mean_return = np.mean((1 - GAMMA ** np.arange(1, COUNTED + 1)) / (1 - GAMMA))
    assert writer.last("value/return") == pytest.approx(mean_return, rel=1e-6)
    assert writer.last("value/estimate") == pytest.approx(mean_return + error, rel=1e-6)
    assert writer.last("value/overestimation") == pytest.approx(error, abs=1e-5)
    assert writer.last("value/bootstrap_weight") == 0.0


def test_actions_reach_the_critic_scaled():
    """In training the action that was taken, in evaluation the deterministic one; both in [-1, 1]."""
    seen = []

    def critic(observations, actions):
        seen.append(actions.clone())
        return (observations[:, :1],)

    model = model_with_critic(countdown(1), critic)
    model.learn(COUNTED, callback=ValueEstimateCallback())
    np.testing.assert_allclose(seen[0], model.replay_buffer.actions[:COUNTED, 0], rtol=1e-6)
    seen.clear()
    model.learn(COUNTED, callback=ValueEstimateCallback(countdown(1), eval_freq=COUNTED, n_episodes=1))
    states = th.arange(COUNTED, dtype=th.float32)[:, None]
    with th.no_grad():
        np.testing.assert_allclose(seen[0], model.actor(states), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("error", [0.0, 0.7])
@pytest.mark.parametrize("limit", [0.5, 1.0])
def test_truncated_episodes_are_bootstrapped(error, limit):
    # Without termination the value is that of the endless problem, whatever the time limit
    value = 1 / (1 - GAMMA) + error
    model = model_with_critic(countdown(1, terminates=False), lambda s, a: (th.full_like(s, value),))
    writer = remember_logs(model)
    model.learn(2 * COUNTED, callback=ValueEstimateCallback(max_bootstrap_weight=limit), log_interval=1)
    weights = GAMMA ** np.arange(1, COUNTED + 1)
    weight = weights[weights <= limit].mean()
    assert writer.last("value/bootstrap_weight") == pytest.approx(weight, rel=1e-6)
    # The critic stands in for the rest and hides that part of its error
    assert writer.last("value/overestimation") == pytest.approx(error * (1 - weight), abs=1e-5)


def test_episodes_too_short_to_say_anything_are_not_logged():
    model = model_with_critic(countdown(1, terminates=False), lambda s, a: (s,))
    writer = remember_logs(model)
    with pytest.warns(UserWarning, match=r"max_bootstrap_weight=0\.01"):
        model.learn(2 * COUNTED, callback=ValueEstimateCallback(max_bootstrap_weight=0.01), log_interval=1)
    assert writer.records
    assert not writer.values("value/estimate")


def test_normalized_rewards():
    env = VecNormalize(countdown(2), norm_obs=False, gamma=GAMMA)
    eval_env = VecNormalize(countdown(2), norm_obs=False, norm_reward=False, training=False, gamma=GAMMA)
    for callback in (ValueEstimateCallback(), ValueEstimateCallback(eval_env, eval_freq=COUNTED, n_episodes=2)):
        model = model_with_critic(env, exact_critic)
        writer = remember_logs(model)
        model.learn(2 * COUNTED, callback=callback, log_interval=1)
        # All episodes are the same, so the return in units of the critic is that times the last factor
        factor = 1 / np.sqrt(env.ret_rms.var + env.epsilon)
        mean_return = np.mean((1 - GAMMA ** np.arange(1, COUNTED + 1)) / (1 - GAMMA))
        assert writer.last("value/return") == pytest.approx(mean_return * factor, rel=1e-6)


@pytest.mark.parametrize("algorithm", [DDPG, TD3, SAC, TQC, CrossQ, BNDDPG])
def test_estimates_of_every_critic(algorithm):
    noise = {"action_noise": {"type": "normal", "sigma": 0.1}} if algorithm is BNDDPG else {}
    model = algorithm("MlpPolicy", countdown(2), gamma=GAMMA, **settings(), **noise)
    writer = remember_logs(model)
    model.learn(4 * COUNTED, callback=ValueEstimateCallback(n_episodes=1), log_interval=1)
    states, actions = th.arange(COUNTED, dtype=th.float32)[:, None], th.zeros(COUNTED, 1)
    model.policy.set_training_mode(False)
    with th.no_grad():
        values = model.critic(states, actions)
    # Networks this young hardly know the action: the level of the estimates must be theirs
    critics = values if isinstance(values, tuple) else (values,)
    level = critics[0] if algorithm is TD3 else th.stack(critics).amin(dim=0)
    assert writer.last("value/estimate") == pytest.approx(float(level.mean()), abs=1.0)


def test_observations_may_be_dictionaries():
    class DictCountdown(Countdown):
        observation_space = spaces.Dict({"time": Countdown.observation_space})

        def reset(self, **kwargs):
            observation, info = super().reset(**kwargs)
            return {"time": observation}, info

        def step(self, action):
            observation, *rest = super().step(action)
            return {"time": observation}, *rest

    env = DummyVecEnv([lambda: TimeLimit(DictCountdown(COUNTED, terminates=False), COUNTED)] * 2)
    model = TD3("MultiInputPolicy", env, **settings(gamma=GAMMA, learning_starts=100_000))
    model.critic = lambda s, a: (th.full_like(s["time"], 10.0),)
    writer = remember_logs(model)
    model.learn(2 * COUNTED, callback=ValueEstimateCallback(), log_interval=1)
    assert writer.last("value/overestimation") == pytest.approx(0.0, abs=1e-5)


def test_discounted_returns():
    np.testing.assert_allclose(discounted_returns(np.array([1.0, 2.0, 4.0]), 0.5), [3.0, 4.0, 4.0])
    np.testing.assert_allclose(discounted_returns(np.array([1.0, 2.0]), 0.5, last_value=8.0), [4.0, 6.0])


def test_an_environments_id_is_no_environment():
    with pytest.raises(TypeError, match="eval_env must be Env or VecEnv or None, not 'Pendulum-v1'"):
        ValueEstimateCallback("Pendulum-v1")
