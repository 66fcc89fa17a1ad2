"""A tiny environment of 84x84 images, for ``--gym-packages``."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Pixels(gym.Env[np.ndarray, np.ndarray]):
    """Noise to look at, nothing to do, 20 steps an episode."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012  # as in gym.Env

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (84, 84, 1), np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.integers(0, 256, (84, 84, 1), np.uint8), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.np_random.integers(0, 256, (84, 84, 1), np.uint8), float(action[0]), False, False, {}

    def render(self) -> np.ndarray:
        return np.zeros((84, 84, 3), np.uint8)


gym.register("Pixels-v0", Pixels, max_episode_steps=20)
