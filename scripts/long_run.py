"""
Whether memory and speed stay as they are over a long training: ``python -m scripts.long_run``.

200,000 steps of COPDACQ and 50,000 of BNDDPG with a small network, one after the other, each in a process of its own. At
twenty points of the training it samples the resident memory and the environment steps per CPU second since the last point.
CPU time, not wall time: what else the machine does is then left out, as far as it can be.

The first fifth of a training is its warm-up: imports, PyTorch's memory pools and the first updates. Growth is the largest
sample of the resident memory after it over the first one; slowdown is the share by which the median speed of the last quarter
of the samples is below that of the first quarter after the warm-up.

SB3 allocates the replay buffer at once, but as zeros, whose pages the system provides when they are first written: resident
memory would grow by the size of the buffer, without anything leaking. They are therefore written to before the training.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from sb3_dpg import BNDDPG, COPDACQ
from sb3_dpg.common.off_policy_algorithm import DeterministicOffPolicyAlgorithm

#: Bounds: shares of what there is after the warm-up
MAX_GROWTH, MAX_SLOWDOWN = 0.05, 0.10
POINTS = 20
WARM_UP = 4


class Sample(NamedTuple):
    """
    :param step: Environment steps so far
    :param memory: Resident memory of the process, in bytes
    :param speed: Environment steps per CPU second since the last sample
    """

    step: int
    memory: int
    speed: float


class Stability(NamedTuple):
    """
    :param growth: Share by which memory grew after the warm-up; 0.01 is one per cent
    :param slowdown: Share by which training became slower, negative if it became faster
    """

    growth: float
    slowdown: float

    @property
    def flat(self) -> bool:
        """Whether both are within their bounds."""
        return self.growth < MAX_GROWTH and self.slowdown < MAX_SLOWDOWN


class SamplingCallback(BaseCallback):
    """
    Sample memory and speed.

    :param every: Environment steps between two samples
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
        self.samples: list[Sample] = []

    def _on_training_start(self) -> None:
        self._last_step, self._last_time = self.num_timesteps, time.process_time()

    def _on_step(self) -> bool:
        steps = self.num_timesteps - self._last_step
        if steps >= self.every:
            now = time.process_time()
            self.samples.append(Sample(self.num_timesteps, resident_memory(), steps / (now - self._last_time)))
            self._last_step, self._last_time = self.num_timesteps, now
        return True


def resident_memory() -> int:
    """
    :return: Resident memory of this process, in bytes
    :raises OSError: on systems without /proc
    """
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def make_copdacq() -> COPDACQ:
    """
    :return: COPDACQ with tiles, online
    """
    noise = {"type": "autoregressive", "lambda": 0.95, "std": 1.0}
    return COPDACQ("LinearPolicy", "MountainCarContinuous-v0", action_noise=noise, seed=0)


def make_bnddpg() -> BNDDPG:
    """
    :return: BNDDPG with a small network, and a replay buffer of the whole training
    """
    return BNDDPG(
        "MlpPolicy",
        "Pendulum-v1",
        buffer_size=50_000,
        batch_size=32,
        learning_starts=100,
        policy_kwargs=dict(net_arch=[32, 32]),
        action_noise={"type": "normal", "sigma": 0.1},
        device="cpu",
        seed=0,
    )


MODELS: dict[str, tuple[Callable[[], DeterministicOffPolicyAlgorithm], int]] = {
    "COPDACQ": (make_copdacq, 200_000),
    "BNDDPG": (make_bnddpg, 50_000),
}


def run(name: str, steps: int) -> list[Sample]:
    """
    :param name: Name of one of ``MODELS``
    :param steps: Environment steps to train for, at least ``POINTS``
    :return: The samples taken on the way
    """
    th.set_num_threads(1)
    model = MODELS[name][0]()
    for array in vars(model.replay_buffer).values():
        if isinstance(array, np.ndarray):
            array.fill(0)
    callback = SamplingCallback(steps // POINTS)
    model.learn(steps, callback, log_interval=None)
    return callback.samples


def stability(samples: Sequence[Sample]) -> Stability:
    """
    :param samples: Of one training, in order
    :return: How much memory and speed changed after the warm-up
    """
    settled = samples[WARM_UP:]
    quarter = max(1, len(settled) // 4)
    first, last = (statistics.median(sample.speed for sample in part) for part in (settled[:quarter], settled[-quarter:]))
    memory = [sample.memory for sample in settled]
    return Stability(max(memory) / memory[0] - 1.0, 1.0 - last / first)


def report(name: str, samples: Sequence[Sample]) -> str:
    """
    :param name: Name of the algorithm
    :param samples: Of its training
    :return: A table in Markdown, and what it says
    """
    rows = [f"| {sample.step:,} | {sample.memory / 2**20:.1f} | {sample.speed:.0f} |" for sample in samples]
    result = stability(samples)
    return "\n".join(
        [
            f"{name}\n\n| step | memory / MiB | steps / CPU-s |\n| --- | --- | --- |",
            *rows,
            f"\nafter the warm-up: memory {result.growth:+.2%} (bound {MAX_GROWTH:+.0%}), "
            f"slowdown {result.slowdown:+.1%} (bound {MAX_SLOWDOWN:+.0%}): {'flat' if result.flat else 'NOT FLAT'}\n",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Train both and print a table of each.

    :param arguments: The command line, None for the process's
    :return: The exit status, 1 if a bound is passed
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.long_run", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--algo", choices=list(MODELS), nargs="*", default=list(MODELS), help="which to run")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the numbers of steps (default: 1)")
    options = parser.parse_args(arguments)
    flat = True
    for name in options.algo:
        steps = int(MODELS[name][1] * options.scale)
        if steps < POINTS:
            parser.error(f"--scale {options.scale} leaves {steps} steps of {name}: at least {POINTS} are needed")
        # Of its own, as memory that one training gave back may be kept by the process
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            samples = pool.apply(run, (name, steps))
        print(report(name, samples), flush=True)
        flat = flat and stability(samples).flat
    return int(not flat)


if __name__ == "__main__":
    raise SystemExit(main())
