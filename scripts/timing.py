"""Timing several models in turn, so that whatever else the machine does slows all alike."""

import statistics
import time
from collections.abc import Mapping
from typing import NamedTuple

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

WARM_UP_STEPS = 800


class Times(NamedTuple):
    """
    Medians over the repetitions.

    :param step: CPU milliseconds of an environment step, everything included
    :param update: CPU milliseconds of a gradient step, many at a time; NaN where there is no training apart from the loop
    :param steps_per_second: Environment steps a second of wall time
    """

    step: float
    update: float
    steps_per_second: float


def warm_up(model: OffPolicyAlgorithm) -> None:
    """
    Fill the replay buffer and let compilers and caches settle.

    :param model: A new model
    """
    model.learn(WARM_UP_STEPS, log_interval=10_000)


def alternate(models: Mapping[str, OffPolicyAlgorithm], steps: int, repeats: int) -> dict[str, Times]:
    """
    :param models: Warm models by name
    :param steps: Environment steps of one repetition
    :param repeats: Number of repetitions
    :return: Their times
    """
    samples: dict[str, list[Times]] = {name: [] for name in models}
    for _ in range(repeats):
        for name, model in models.items():
            samples[name].append(_times(model, steps))
    return {name: Times(*map(statistics.median, zip(*rows, strict=True))) for name, rows in samples.items()}


def _times(model: OffPolicyAlgorithm, steps: int) -> Times:
    """One repetition."""
    before, wall, cpu = model.num_timesteps, time.perf_counter(), time.process_time()
    model.learn(steps, reset_num_timesteps=False, log_interval=10_000)
    done = model.num_timesteps - before
    step, speed = (time.process_time() - cpu) / done * 1e3, done / (time.perf_counter() - wall)
    if model.gradient_steps == 0:
        return Times(step, float("nan"), speed)
    cpu = time.process_time()
    model.train(steps, model.batch_size)
    return Times(step, (time.process_time() - cpu) / steps * 1e3, speed)
