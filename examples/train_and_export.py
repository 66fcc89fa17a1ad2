"""Train BNDDPG on Pendulum-v1, then export its policy to a file that needs neither sb3_dpg nor SB3."""

import argparse

import torch as th

from sb3_dpg import BNDDPG
from sb3_dpg.export import export_policy

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=10_000, help="environment steps")
parser.add_argument("--file", default="pendulum.pt", help="the file to write")
options = parser.parse_args()

model = BNDDPG("MlpPolicy", "Pendulum-v1", seed=0)
model.learn(options.steps)
path = export_policy(model, options.file, format="torchscript")

policy = th.jit.load(str(path))
observation = th.tensor([[1.0, 0.0, 0.0]])
print("exported:", policy(observation).item(), "predict:", model.predict(observation.numpy(), deterministic=True)[0].item())
