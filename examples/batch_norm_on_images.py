"""Batch normalisation on images: move a dot to the middle of what a camera sees."""

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_dpg import BNDDPG

SIZE = 36  # the smallest image that SB3's NatureCNN takes


class Dot(gym.Env[np.ndarray, np.ndarray]):
    """A white dot on black, an image of bytes; the action is its velocity, the reward minus its distance to the middle."""

    observation_space = spaces.Box(0, 255, (SIZE, SIZE, 1), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def image(self) -> np.ndarray:
        image = np.zeros((SIZE, SIZE, 1), np.uint8)
        row, column = ((self.position + 1) / 2 * (SIZE - 5)).astype(int)
        image[row : row + 5, column : column + 5] = 255
        return image

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1, 2)
        return self.image(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.position = np.clip(self.position + 0.2 * action, -1, 1)
        return self.image(), -float(np.linalg.norm(self.position)), False, False, {}


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=3_000, help="environment steps")
steps = parser.parse_args().steps


def make() -> gym.Env:
    return Monitor(gym.wrappers.TimeLimit(Dot(), 20))


# CnnPolicy: a convolutional network, then normalised layers. The images' channels are put first by SB3
model = BNDDPG(
    "CnnPolicy",
    make(),
    action_noise={"type": "normal", "sigma": 0.2},
    gamma=0.9,
    batch_size=64,
    buffer_size=10_000,
    learning_starts=200,
    train_freq=2,
    policy_kwargs=dict(net_arch=[64], features_extractor_kwargs=dict(features_dim=64)),
    seed=0,
)
before, _ = evaluate_policy(model, make(), n_eval_episodes=20)
model.learn(steps)
after, _ = evaluate_policy(model, make(), n_eval_episodes=20)
print(f"return over 20 episodes: {before:.1f} before, {after:.1f} after training")
