"""MountainCarContinuous-v0 by COPDAC-Q: linear in tile-coded features, without replay buffer or target networks."""

import argparse

from stable_baselines3.common.evaluation import evaluate_policy

from sb3_dpg import COPDACQ

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=60_000, help="environment steps")
steps = parser.parse_args().steps

noise = {"type": "autoregressive", "lambda": 0.95, "std": 1.0}
model = COPDACQ("LinearPolicy", "MountainCarContinuous-v0", action_noise=noise, seed=0)
model.learn(steps)
mean, std = evaluate_policy(model, model.get_env(), n_eval_episodes=5)
print(f"return of mu over 5 episodes: {mean:.1f} +- {std:.1f}")
