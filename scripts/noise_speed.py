"""
Time of one call of our noise against SB3's, as a ratio within one run: ``python -m scripts.noise_speed``.

The two are timed in turn, so that whatever else the machine does slows both; the best of the repetitions counts.
"""

import timeit
from collections.abc import Callable

import numpy as np
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VectorizedActionNoise,
)

from sb3_dpg.bnddpg.bnddpg import DEFAULT_ACTION_NOISE
from sb3_dpg.common.noise import GaussianNoise, OrnsteinUhlenbeckNoise, ScheduledNoise, make_noise

N_REPETITIONS = 15


def seconds_per_call(calls: list[Callable[[], object]], n_calls: int) -> list[float]:
    """
    :param calls: What is timed
    :param n_calls: Number of calls in one repetition
    :return: Least seconds per call of each
    """
    times = [[timeit.timeit(call, number=n_calls) for call in calls] for _ in range(N_REPETITIONS)]
    return [min(column) / n_calls for column in zip(*times, strict=True)]


def cases(action_dim: int, n_envs: int) -> dict[str, tuple[ActionNoise, ActionNoise]]:
    """
    :param action_dim: Number of action dimensions
    :param n_envs: Number of environments
    :return: By the name of the process, ours and SB3's
    """
    mean, sigma = np.zeros(action_dim), 0.2 * np.ones(action_dim)
    theirs: dict[str, ActionNoise] = {
        "Ornstein-Uhlenbeck": OrnsteinUhlenbeckActionNoise(mean, sigma),
        "Gaussian": NormalActionNoise(mean, sigma),
    }
    default = make_noise(DEFAULT_ACTION_NOISE, action_dim)
    assert isinstance(default, ScheduledNoise)
    default.resize(n_envs)
    ours: dict[str, ActionNoise] = {
        "Ornstein-Uhlenbeck": OrnsteinUhlenbeckNoise(mean, 0.2, n_envs=n_envs, seed=0),
        "Gaussian": GaussianNoise(mean, 0.2, n_envs=n_envs, seed=0),
        "BNDDPG's default": default,
    }
    # SB3 has none like it
    theirs["BNDDPG's default"] = theirs["Ornstein-Uhlenbeck"]
    if n_envs > 1:
        theirs = {name: VectorizedActionNoise(noise, n_envs) for name, noise in theirs.items()}
    return {name: (ours[name], theirs[name]) for name in theirs}


def main() -> None:
    """Print a table in Markdown."""
    print("| process | environments | action dimensions | ours, µs a call | SB3, µs a call | SB3 / ours |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n_envs, action_dim in ((1, 1), (1, 6), (4, 6), (64, 6)):
        for name, pair in cases(action_dim, n_envs).items():
            ours, theirs = seconds_per_call(list(pair), n_calls=2000 // n_envs + 100)
            print(f"| {name} | {n_envs} | {action_dim} | {ours * 1e6:.1f} | {theirs * 1e6:.1f} | {theirs / ours:.1f} |")


if __name__ == "__main__":
    main()
