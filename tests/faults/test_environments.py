"""Environments that misbehave: training stops with an error that says what happened and when, and the model can be saved."""

import io
import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from tests.algorithms import finite, make, weights

pytestmark = pytest.mark.parametrize("name", ["bnddpg", "copdacq", "copdacq-replay"])
FAULTY_STEP = 25


class Faulty(gym.Env):
    """Returns what it is told to from step 25 on; episodes of ``length`` steps."""

    observation_space = spaces.Box(-1.0, 1.0, (2,))
    action_space = spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, reward: float = 1.0, observation: Any = None, error: str | None = None, length: float = 10) -> None:
        self.faults = reward, observation, error
        self.length = length
        self.n_steps = self.n_episode_steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.n_episode_steps = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: np.ndarray) -> Any:
        self.n_steps += 1
        self.n_episode_steps += 1
        observation, reward = self.np_random.uniform(-1, 1, 2).astype(np.float32), 1.0
        if self.n_steps >= FAULTY_STEP:
            reward, wrong, error = self.faults
            observation = observation if wrong is None else wrong
            if error is not None:
                raise RuntimeError(error)
        return observation, reward, self.n_episode_steps >= self.length, False, {}


def assert_stops_sound(model: Any, error: type[Exception], message: str, steps: int = 100) -> None:
    with pytest.raises(error, match=message):
        model.learn(steps)
    assert finite(model)
    model.save(io.BytesIO())


def test_actions_that_no_environment_has_made(name: str) -> None:
    class Costs(Faulty):
        def step(self, action: np.ndarray) -> Any:
            observation, reward, *rest = super().step(action)
            return observation, reward - float(action[0]), *rest

    model = make(name, Costs(), learning_starts=0)
    model.learn(20)

    def sample_action(*_: Any, **__: Any) -> tuple[np.ndarray, np.ndarray]:
        return np.full((1, 1), np.nan, np.float32), np.full((1, 1), np.nan, np.float32)

    model._sample_action = sample_action  # type: ignore[method-assign]
    assert_stops_sound(model, ValueError, r"the policy's action \[\[nan\]\] is not finite, although its weights are")


def test_dones_may_be_a_list(name: str) -> None:
    class Listing(DummyVecEnv):
        def step_wait(self) -> Any:
            observations, rewards, dones, infos = super().step_wait()
            return observations, rewards, list(dones), infos

    assert finite(make(name, Listing([Faulty])).learn(20))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_reward(name: str, bad: float, normalize: bool) -> None:
    env: Any = DummyVecEnv([lambda: Faulty(reward=bad)])
    message = rf"at step {FAULTY_STEP} the environment returned reward \[\s*{re.escape(str(bad))}\], which is not finite"
    assert_stops_sound(make(name, VecNormalize(env) if normalize else env), ValueError, message)


# Step 25 is in the middle of an episode of 10 steps and the last of one of 5
@pytest.mark.parametrize("length", [10, 5])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_observation(name: str, bad: float, normalize: bool, length: int) -> None:
    env: Any = DummyVecEnv([lambda: Faulty(observation=np.array([0.5, bad], dtype=np.float32), length=length)])
    # VecNormalize clips the last observation of an episode, without leaving the one that came: found out a step later
    clipped = normalize and length == 5 and bad == float("inf")
    message = rf"at step {FAULTY_STEP + clipped} the environment returned observation .*{bad}.*, which is not finite"
    # VecNormalize's own arithmetic with what is infinite
    with np.errstate(invalid="ignore"):
        model = make(name, VecNormalize(env) if normalize else env)
        assert_stops_sound(model, ValueError, message)
        if normalize and length == 10:
            # The last observation of an episode does not enter the statistics
            with pytest.raises(ValueError, match=r"^VecNormalize's statistics are not finite.*make a new one"):
                model.learn(10)
    assert np.isfinite(model.replay_buffer.observations).all()
    assert np.isfinite(model.replay_buffer.next_observations).all()


def test_training_goes_on_after_a_refused_transition(name: str) -> None:
    """By a reset: a transition from the last observation before it to the first one after it would be a false one."""

    class Counting(Faulty):
        observation_space = spaces.Box(0.0, 1000.0, (2,))

        def step(self, action: np.ndarray) -> Any:
            _, reward, *rest = super().step(action)
            reward = reward if self.n_steps == FAULTY_STEP else 1.0
            return np.full(2, self.n_steps, np.float32), reward, *rest

    model = make(name, Counting(reward=float("nan"), length=100))
    assert_stops_sound(model, ValueError, "which is not finite")
    model.learn(1, reset_num_timesteps=False)
    newest = model.replay_buffer.pos - 1
    assert model.replay_buffer.next_observations[newest].tolist() == [[FAULTY_STEP + 1] * 2]
    assert (model.replay_buffer.observations[newest] < 1).all()  # of a reset


def test_first_observation(name: str) -> None:
    class Unsound(gym.ObservationWrapper):
        def observation(self, observation: np.ndarray) -> np.ndarray:
            return np.full_like(observation, np.nan)

    env = Unsound(gym.make("Pendulum-v1"))
    model = make(name, env)
    with pytest.raises(ValueError, match=r"the environment's reset returned observation .*nan.*, which is not finite"):
        model.learn(30)
    env.observation = lambda observation: observation  # type: ignore[method-assign]
    model.learn(30, reset_num_timesteps=False)


def test_noise_that_is_not_finite(name: str) -> None:
    class Unsound(NormalActionNoise):
        def __call__(self) -> np.ndarray:
            return super().__call__() * (np.nan if model.num_timesteps == 20 else 1.0)

    class Tolerant(gym.ActionWrapper):
        def action(self, action: np.ndarray) -> np.ndarray:
            return np.nan_to_num(action)

    model = make(name, Tolerant(gym.make("Pendulum-v1")), action_noise=Unsound(np.zeros(1), np.full(1, 0.1)))
    with pytest.raises(ValueError, match=r"the policy's action .* or the action_noise .* is not finite"):
        model.learn(30)


def test_one_of_several_environments(name: str) -> None:
    """Two steps are taken at once: the 25th of each is the 49th and 50th of all."""
    model = make(name, DummyVecEnv([Faulty, lambda: Faulty(reward=float("nan"))]))
    message = rf"at step {2 * FAULTY_STEP} the environment returned reward \[\s*1\.\s+nan\]"
    assert_stops_sound(model, ValueError, message)


def test_error_in_step_passes_through(name: str) -> None:
    assert_stops_sound(make(name, Faulty(error="the simulator burst")), RuntimeError, "the simulator burst")


def test_observation_of_another_shape(name: str) -> None:
    assert_stops_sound(make(name, Faulty(observation=np.zeros(3, dtype=np.float32))), ValueError, "could not broadcast")


@pytest.mark.parametrize("n_envs", [1, 2])
def test_observation_of_another_shape_from_processes(name: str, n_envs: int) -> None:
    """Nothing is copied into buffers of a known shape there, but what does not fit must not be learned from."""
    env = SubprocVecEnv(
        [Faulty] * (n_envs - 1) + [lambda: Faulty(observation=np.zeros(3, dtype=np.float32))], start_method="fork"
    )
    try:
        assert_stops_sound(make(name, env), ValueError, "could not broadcast|same shape|cannot reshape")
    finally:
        env.close()


@pytest.mark.parametrize("length", [1, float("inf")])
def test_episodes_of_one_step_and_without_end(name: str, length: float) -> None:
    model = make(name, Faulty(length=length))
    before = weights(model)
    model.learn(60)
    assert model.num_timesteps == 60
    assert finite(model)
    assert any((before[key] != value).any() for key, value in weights(model).items())
