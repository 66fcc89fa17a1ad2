"""Puddle world with continuous actions."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_dpg.envs.rendering import refuse_rendering

# Centre lines of the two puddles, from (x, y) to (x, y), and their radius (Sutton 1996)
PUDDLES = np.array([[[0.1, 0.75], [0.45, 0.75]], [[0.45, 0.4], [0.45, 0.8]]])
RADIUS = 0.1
PUDDLE_COST = 400.0
STEP_COST = 1.0
# The largest step along each axis, and the standard deviation of the normal noise on it
STEP_SIZE = 0.05
NOISE_STD = 0.01
# The goal is the corner beyond x + y >= GOAL
GOAL = 1.9


class PuddleWorld(gym.Env[np.ndarray, np.ndarray]):
    """
    Puddle world (Sutton 1996) with continuous actions, the third task of Silver et al. 2014, section 5.2.

    A point in the unit square moves by 0.05 times the action, plus noise, and is to reach the corner x + y >= 1.9. Each step
    costs 1, and 400 times the depth in a puddle, of which there are two, lines with a radius of 0.1. The paper does not state
    how it made the actions continuous; here the action is the step along the two axes, in place of Sutton's four directions.

    Observations are the position, in [0, 1]^2. Episodes start anywhere but in the goal.

    :param render_mode: None, as it draws nothing; gymnasium's convention
    :raises TypeError: if ``render_mode`` is not None
    """

    def __init__(self, render_mode: str | None = None) -> None:
        refuse_rendering(self, render_mode)
        self.observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.position = np.zeros(2)

    @staticmethod
    def puddle_depth(position: np.ndarray) -> float:
        """How far a point, (2,), is inside the puddles, from their edges, summed over both."""
        starts, lines = PUDDLES[:, 0], PUDDLES[:, 1] - PUDDLES[:, 0]
        # The nearest point of each line: projected on it, and held between its ends
        along = ((position - starts) * lines).sum(1) / (lines * lines).sum(1)
        nearest = starts + np.clip(along, 0.0, 1.0)[:, None] * lines
        return float(np.maximum(RADIUS - np.linalg.norm(position - nearest, axis=1), 0.0).sum())

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.np_random.uniform(0.0, 1.0, 2)
        while self.position.sum() >= GOAL:
            self.position = self.np_random.uniform(0.0, 1.0, 2)
        return self.position.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        step = STEP_SIZE * np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        self.position = np.clip(self.position + step + NOISE_STD * self.np_random.standard_normal(2), 0.0, 1.0)
        reward = -STEP_COST - PUDDLE_COST * self.puddle_depth(self.position)
        return self.position.astype(np.float32), reward, bool(self.position.sum() >= GOAL), False, {}
