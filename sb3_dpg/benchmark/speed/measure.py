"""Timing several models in turn, so that whatever else the machine does slows all alike."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch as th
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

WARM_UP_STEPS = 800


@dataclass(frozen=True)
class Times:
    """
    Medians over the repetitions.

    :param step: CPU milliseconds of an environment step, everything included
    :param update: CPU milliseconds of a gradient step, many at a time
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
    model.policy.set_training_mode(True)


def alternate(models: Mapping[str, OffPolicyAlgorithm], steps: int, repeats: int) -> dict[str, Times]:
    """
    :param models: Warm models by name
    :param steps: Environment steps of one repetition
    :param repeats: Number of repetitions
    :return: Their times
    """
    samples: dict[str, list[tuple[float, float, float]]] = {name: [] for name in models}
    for _ in range(repeats):
        for name, model in models.items():
            samples[name].append((*_loop(model, steps), _update(model, steps)))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in samples.items()}
    return {name: Times(step, update, speed) for name, (step, speed, update) in medians.items()}


def _loop(model: OffPolicyAlgorithm, steps: int) -> tuple[float, float]:
    """
    :param model: The model
    :param steps: How many steps
    :return: CPU milliseconds a step, steps a second of wall time
    """
    before, wall, cpu = model.num_timesteps, time.perf_counter(), time.process_time()
    model.learn(steps, reset_num_timesteps=False, log_interval=10_000)
    done = model.num_timesteps - before
    return (time.process_time() - cpu) / done * 1e3, done / (time.perf_counter() - wall)


def _update(model: OffPolicyAlgorithm, steps: int) -> float:
    """
    :param model: The model
    :param steps: How many gradient steps
    :return: CPU milliseconds a gradient step; NaN where the model has no training apart from its loop
    """
    if model.gradient_steps == 0 or model.batch_size < 2:
        return float("nan")
    model.policy.set_training_mode(True)
    cpu = time.process_time()
    model.train(steps, model.batch_size)
    return (time.process_time() - cpu) / steps * 1e3


def product_floor(batch_size: int, sizes: list[int], repeats: int) -> float:
    """
    The time of nothing but the matrix products of a plain DDPG update: eleven passes, as SB3 does them (four forward, of
    which two have a backward pass of two, and the actor's loss through the critic of three).

    :param batch_size: Rows
    :param sizes: Sizes of a network's layers, with input and output
    :param repeats: Number of repetitions
    :return: CPU milliseconds, the median
    """
    pairs = [(th.randn(batch_size, i), th.randn(o, i)) for i, o in itertools.pairwise(sizes)]

    def once() -> None:
        for x, weight in pairs:
            for _ in range(11):
                x @ weight.t()

    return statistics.median(cpu_milliseconds(once, 20) for _ in range(repeats))


def cpu_milliseconds(call: Callable[[], object], times: int) -> float:
    """
    :param call: What is timed
    :param times: How often
    :return: CPU milliseconds of one call
    """
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times * 1e3
