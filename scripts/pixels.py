"""Pendulum from pixels, as ``PendulumPixels-v0``: observations are its pictures, 64 x 64, and nothing else."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from gymnasium.wrappers import AddRenderObservation


def make_pixels(**kwargs: Any) -> gym.Env[np.ndarray, np.ndarray]:
    """
    :param kwargs: Those of Pendulum, but ``render_mode``, which is "rgb_array"
    :return: Pendulum whose observations are its pictures, (64, 64, 3)
    """
    env = PendulumEnv(**(kwargs | {"render_mode": "rgb_array"}))
    # Drawn in that size, in place of 500 x 500 that would have to be scaled down
    env.screen_dim = 64
    return AddRenderObservation(env, render_only=True)


gym.register("PendulumPixels-v0", entry_point=make_pixels, max_episode_steps=200)
