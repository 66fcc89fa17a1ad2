"""An episode that a reset breaks off ends in the replay buffer, too: what is learned from does not reach into the next one."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer

from tests.algorithms import make

pytestmark = pytest.mark.filterwarnings("ignore:.*will not learn")
N_STEPS = 6
MEMORY = dict(optimize_memory_usage=True, replay_buffer_kwargs=dict(handle_timeout_termination=False))
HER = dict(replay_buffer_class=HerReplayBuffer, replay_buffer_kwargs=dict(n_sampled_goal=4))


class Numbered(gym.Env):
    """Episodes without end; the reward is the episode's number, and NaN in step 7 of all if it is told so."""

    action_space = spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, faulty: bool, goal: bool = False) -> None:
        box = spaces.Box(0.0, 1000.0, (1,))
        self.observation_space = spaces.Dict(observation=box, achieved_goal=box, desired_goal=box) if goal else box
        self.faulty, self.goal = faulty, goal
        self.episode = self.n_steps = 0

    def observe(self) -> Any:
        observation = np.array([100 * self.episode + self.n_steps], np.float32)
        return dict(observation=observation, achieved_goal=observation, desired_goal=observation) if self.goal else observation

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.episode += 1
        return self.observe(), {}

    def step(self, action: np.ndarray) -> Any:
        self.n_steps += 1
        reward = float("nan") if self.faulty and self.n_steps == N_STEPS + 1 else float(self.episode)
        return self.observe(), reward, False, False, {}

    def compute_reward(self, achieved: np.ndarray, desired: np.ndarray, infos: Any) -> np.ndarray:
        return np.zeros(len(achieved))


def trained(name: str, faulty: bool, **kwargs: Any) -> Any:
    env = Numbered(faulty, goal=kwargs.get("replay_buffer_class") is HerReplayBuffer)
    model = make(name, env, policy="MultiInputPolicy" if env.goal else None, learning_starts=100, **kwargs)
    if faulty:
        with pytest.raises(ValueError, match="which is not finite"):
            model.learn(20)
    else:
        model.learn(N_STEPS)
    model.learn(N_STEPS, reset_num_timesteps=not faulty)
    return model


@pytest.mark.parametrize("faulty", [True, False])
@pytest.mark.parametrize("name", ["bnddpg", "copdacq-replay"])
def test_returns_of_several_steps(name: str, faulty: bool) -> None:
    model = trained(name, faulty, n_steps=3, gamma=1.0)
    samples = model.replay_buffer._get_samples(np.arange(2, N_STEPS + 1))
    assert samples.rewards[:, 0].tolist() == [3, 3, 2, 1, 6]
    assert samples.next_observations[:4, 0].tolist() == [105, 106, 106, 106]
    assert samples.dones[:, 0].tolist() == [0] * 5, "the episode has not ended"


@pytest.mark.filterwarnings("ignore:The last trajectory in the replay buffer")
@pytest.mark.parametrize("faulty", [True, False])
@pytest.mark.parametrize("name", ["bnddpg", "copdacq-replay"])
def test_next_observations_that_are_not_stored(name: str, faulty: bool) -> None:
    model = trained(name, faulty, **MEMORY)
    samples = model.replay_buffer._get_samples(np.arange(N_STEPS - 2, N_STEPS + 1))
    assert samples.next_observations[0, 0] == 105
    assert samples.dones[:, 0].tolist() == [0, 1, 0], "SB3's way: what follows is not known"


@pytest.mark.parametrize("faulty", [True, False])
def test_goals(faulty: bool) -> None:
    buffer = trained("bnddpg", faulty, **HER).replay_buffer
    assert buffer.ep_length[:N_STEPS, 0].tolist() == [N_STEPS] * N_STEPS
    assert (buffer.dones * (1 - buffer.timeouts))[:N_STEPS].max() == 0


def test_episodes_of_a_plain_buffer_without_time_limits_have_no_end_where_they_are_broken_off():
    model = trained("bnddpg", False, replay_buffer_kwargs=dict(handle_timeout_termination=False))
    assert not model.replay_buffer.dones.any()
