"""
How fast COPDACQ learns, beside SB3's DDPG that only collects: ``python -m sb3_dpg.benchmark.copdacq_speed``.

Environment steps a second on MountainCarContinuous-v0, one thread, learning included for COPDACQ; SB3's DDPG has a [32]
network and ``gradient_steps=0``, so that only its loop is timed. Both run in turn, several times, and the medians count: other
work on the machine then disturbs both alike. Steps per process-CPU-second do not depend on other work at all.
"""

import statistics
import time
from collections.abc import Callable

import torch as th
from stable_baselines3 import DDPG
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise

from sb3_dpg import COPDACQ

ENV_ID = "MountainCarContinuous-v0"
STEPS = 4_000
REPEATS = 3


def make_copdacq(n_envs: int) -> COPDACQ:
    """
    :param n_envs: Number of environments
    :return: COPDACQ as hyperparams/copdacq.yml has it
    """
    return COPDACQ(
        "LinearPolicy",
        make_vec_env(ENV_ID, n_envs=n_envs, seed=0),
        action_noise={"type": "autoregressive", "lambda": 0.95, "std": 1.0},
        seed=0,
    )


def make_ddpg(n_envs: int) -> DDPG:
    """
    :param n_envs: Number of environments
    :return: SB3's DDPG that never learns
    """
    noise = NormalActionNoise([0.0], [0.5])  # type: ignore[arg-type]
    return DDPG(
        "MlpPolicy",
        make_vec_env(ENV_ID, n_envs=n_envs, seed=0),
        action_noise=VectorizedActionNoise(noise, n_envs) if n_envs > 1 else noise,
        buffer_size=STEPS,
        gradient_steps=0,
        policy_kwargs=dict(net_arch=[32]),
        device="cpu",
        seed=0,
    )


def steps_per_second(model: BaseAlgorithm, n_envs: int) -> tuple[float, float]:
    """
    :param model: The model to train
    :param n_envs: Its number of environments
    :return: Environment steps per second, and per process-CPU-second
    """
    steps = STEPS * (4 if n_envs > 1 else 1)
    wall, cpu = time.perf_counter(), time.process_time()
    model.learn(steps)
    return steps / (time.perf_counter() - wall), steps / (time.process_time() - cpu)


def main() -> None:
    """Time both in turn and print a table."""
    th.set_num_threads(1)
    makers: dict[str, Callable[[int], BaseAlgorithm]] = {"COPDACQ": make_copdacq, "DDPG": make_ddpg}
    print(f"{ENV_ID}, medians of {REPEATS} alternating runs\n")
    print("| environments | algorithm | steps / s | steps / CPU-s |\n| --- | --- | --- | --- |")
    for n_envs in (1, 8):
        models = {name: make(n_envs) for name, make in makers.items()}
        speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
        for _ in range(REPEATS):
            for name, model in models.items():
                speeds[name].append(steps_per_second(model, n_envs))
        medians = {name: [statistics.median(values) for values in zip(*pairs, strict=True)] for name, pairs in speeds.items()}
        for name, (wall, cpu) in medians.items():
            print(f"| {n_envs} | {name} | {wall:.0f} | {cpu:.0f} |")
        wall_ratio, cpu_ratio = (a / b for a, b in zip(medians["COPDACQ"], medians["DDPG"], strict=True))
        print(f"| {n_envs} | ratio | {wall_ratio:.2f} | {cpu_ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
