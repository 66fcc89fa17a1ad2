"""Pendulum from pixels."""

import gymnasium as gym
import numpy as np

import scripts.pixels  # noqa: F401  # registers it


def test_observations_are_the_pictures_of_the_pendulum() -> None:
    env = gym.make("PendulumPixels-v0")
    state = gym.make("Pendulum-v1")
    first, _ = env.reset(seed=3)
    state.reset(seed=3)
    assert env.observation_space.shape == first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert len(np.unique(first)) > 2
    for _ in range(5):
        picture, reward, *_ = env.step(np.array([2.0]))
        assert reward == state.step(np.array([2.0]))[1]
    assert not np.array_equal(picture, first)
    env.close()
