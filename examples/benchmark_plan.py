"""
A benchmark plan of one's own, run and reported: does COPDACQ need its correlated noise on MountainCarContinuous-v0?

The same as ``sb3-dpg benchmark plan.yml --results results`` and ``sb3-dpg benchmark report results``. Run again after any
interruption: it does what is missing. The report needs the extra "plots".
"""

import argparse
import sys
from pathlib import Path

from sb3_dpg.benchmark.cli import main

PLAN = """
name: correlated-noise
description: Whether COPDACQ needs its correlated noise on MountainCarContinuous-v0.
seeds: [0, 1]
evaluation: {{points: 4, episodes: 5}}
environments:
  MountainCarContinuous-v0: {{steps: {steps}, threshold: 90}}
algorithms:
  copdacq:
  copdacq, white noise:
    algo: copdacq
    hyperparameters:
      action_noise: {{type: normal, sigma: 1.0}}
"""

# Runs are processes that import this module again
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40_000, help="environment steps of each run")
    parser.add_argument("--folder", type=Path, default=Path("correlated-noise"), help="where plan and results go")
    options = parser.parse_args()

    options.folder.mkdir(parents=True, exist_ok=True)
    plan, results = options.folder / "plan.yml", options.folder / "results"
    plan.write_text(PLAN.format(steps=options.steps))
    sys.exit(main([str(plan), "--results", str(results)]) or main(["report", str(results)]))
