"""How long agents take to become good enough."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd


class TimeToThreshold(NamedTuple):
    """
    Medians over the seeds, of which those that never get there count as infinitely slow.

    :param reached: How many seeds reach it
    :param steps: Steps until the first evaluation whose mean return is at least the threshold
    :param seconds: Seconds of training until then, by the clock
    :param cpu_seconds: Seconds of computing until then, which other processes on the machine disturb less
    """

    reached: int
    steps: float
    seconds: float
    cpu_seconds: float


def time_to_threshold(runs: Mapping[int, pd.DataFrame], threshold: float) -> TimeToThreshold:
    """
    :param runs: Evaluations of each seed, by step
    :param threshold: A return
    :return: How long it takes to reach it
    """
    firsts = []
    for run in runs.values():
        reached = run[run["mean_return"] >= threshold]
        firsts.append((np.inf,) * 3 if reached.empty else (reached.index[0], *reached[["wall_time", "cpu_time"]].iloc[0]))
    table = np.array(firsts, dtype=float)
    steps, seconds, cpu_seconds = np.median(table, axis=0)
    return TimeToThreshold(int(np.isfinite(table[:, 0]).sum()), float(steps), float(seconds), float(cpu_seconds))
