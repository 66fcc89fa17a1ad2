"""Scheduled Ornstein-Uhlenbeck noise and diagnostics on SB3's own TD3: neither needs an algorithm of ours."""

import argparse

from stable_baselines3 import TD3

from sb3_dpg.common.callbacks import ActionNoiseCallback
from sb3_dpg.diagnostics import DiagnosticsCallback

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=10_000, help="environment steps")
steps = parser.parse_args().steps

model = TD3("MlpPolicy", "Pendulum-v1", learning_starts=100, seed=0, verbose=1)
noise = ActionNoiseCallback({"type": "ornstein-uhlenbeck", "sigma": "lin_0.3_0.03"})
model.learn(steps, callback=[noise, DiagnosticsCallback(log_freq=200)])
