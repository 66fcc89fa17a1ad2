"""Train, save the model and its replay buffer, load both in their place, and go on."""

import argparse
from pathlib import Path

import gymnasium as gym
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_dpg import BNDDPG

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=6_000, help="environment steps, half of them before the interruption")
parser.add_argument("--folder", type=Path, default=Path("resume"), help="where the files go")
options = parser.parse_args()
options.folder.mkdir(parents=True, exist_ok=True)
half = options.steps // 2

model = BNDDPG("MlpPolicy", "Pendulum-v1", seed=0)
model.learn(half)
model.save(options.folder / "model.zip")
model.save_replay_buffer(options.folder / "replay_buffer.pkl")
del model

# Weights, optimizers, noise and counters are in the model's file; transitions are not
model = BNDDPG.load(options.folder / "model.zip", env=gym.make("Pendulum-v1"))
model.load_replay_buffer(options.folder / "replay_buffer.pkl")
print(f"resumed at step {model.num_timesteps} with {model.replay_buffer.size()} transitions")
# With the default, True, the steps would be counted from 0 again, and schedules begin anew
model.learn(options.steps - half, reset_num_timesteps=False)
mean, std = evaluate_policy(model, model.get_env(), n_eval_episodes=10)
print(f"at step {model.num_timesteps}: return {mean:.0f} +- {std:.0f}")
