"""Memory and speed of full replay buffers, and the peak memory of a process that trains."""

import multiprocessing
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg.benchmark.speed.contestants import contestants
from sb3_dpg.benchmark.speed.measure import cpu_milliseconds


def peak_memory(name: str, env_id: str, batch_size: int, steps: int) -> float:
    """
    :param name: A contestant
    :param env_id: Environment
    :param batch_size: Minibatch size
    :param steps: Environment steps to train for
    :return: Largest resident memory of a process of its own, MiB (on Linux)
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_train_alone, (name, env_id, batch_size, steps))


def _train_alone(name: str, env_id: str, batch_size: int, steps: int) -> float:
    th.set_num_threads(1)
    contestants()[name](make_vec_env(env_id, seed=0), batch_size).learn(steps)
    # Not getrusage's: a new process starts with its parent's peak there
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def fill(model: OffPolicyAlgorithm, transitions: int) -> None:
    """
    Give a model a replay buffer of this size, full of random transitions.

    :param model: Any off-policy model
    :param transitions: How many
    """
    model.replay_buffer = buffer = model.replay_buffer_class(  # type: ignore[misc]
        transitions, model.observation_space, model.action_space, device=model.device, n_envs=1
    )
    rng = np.random.default_rng(0)
    for values in (buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards):
        values[:] = rng.uniform(-1, 1, values.shape)
    buffer.full = True


def buffer_bytes(model: OffPolicyAlgorithm) -> int:
    """
    :param model: Any off-policy model
    :return: Size of all arrays of its replay buffer
    """
    return sum(values.nbytes for values in vars(model.replay_buffer).values() if isinstance(values, np.ndarray))


def update_milliseconds(model: OffPolicyAlgorithm, transitions: int, updates: int) -> float:
    """
    :param model: Any off-policy model
    :param transitions: Size of its replay buffer, which is full
    :param updates: How many gradient steps
    :return: CPU milliseconds of one of them
    """
    fill(model, transitions)
    model.train(20, model.batch_size)
    return cpu_milliseconds(lambda: model.train(updates, model.batch_size), 1) / updates
