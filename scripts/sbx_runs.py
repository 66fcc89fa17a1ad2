"""
SBX's TD3 and CrossQ by the benchmark: ``python -m scripts.sbx_runs``, in the repository's root.

In an environment of its own, as ``sbx-rl`` is not among our dependencies::

    python -m venv .venv-sbx
    .venv-sbx/bin/pip install --editable ".[mujoco,box2d,plots]" sbx-rl
    .venv-sbx/bin/python -m scripts.sbx_runs --results logs/sbx --jobs 2

Runs what is missing of ``plans/sbx.yml``; the options are those of ``sb3-dpg benchmark PLAN``. CPU seconds are of all
threads of a run, and have the compilation in them.
"""

import os
import sys
from pathlib import Path

# One thread for each run, as PyTorch's have; read when JAX is loaded
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import sbx
from rl_zoo3.utils import ALGOS

from sb3_dpg.benchmark.cli import main

PLAN = Path(__file__).parent / "plans" / "sbx.yml"
# Runs are processes that import this module again
ALGOS.update(sbx_td3=sbx.TD3, sbx_crossq=sbx.CrossQ)

if __name__ == "__main__":
    sys.exit(main([str(PLAN), *sys.argv[1:]]))
