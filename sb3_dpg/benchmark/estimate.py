"""How long runs will take."""

import heapq
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from sb3_dpg.benchmark.configuration import Configuration

#: Steps per second with evaluation, for algorithms of which there is no result yet: a slow core, 2 x 256 units, batch 128
ASSUMED_RATES = {"copdacq": 2000.0, "crossq": 30.0, "sac": 60.0, "tqc": 40.0, "td3": 120.0, "ddpg": 120.0, "bnddpg": 120.0}
DEFAULT_RATE = 100.0


def time_together(seconds: Iterable[float], jobs: int) -> float:
    """
    :param seconds: How long single runs take, in the order in which they are started
    :param jobs: Runs at a time
    :return: How long all of them take
    """
    ends = [0.0] * jobs
    for run in seconds:
        heapq.heapreplace(ends, ends[0] + run)
    return max(ends)


class Estimate(NamedTuple):
    """
    :param seconds: How long a run will take
    :param basis: Where the figure comes from
    """

    seconds: float
    basis: str


class Estimator:
    """
    Estimates from results: the median time per step of the configuration, else of its algorithm on its environment, else of
    its algorithm anywhere. Without any result it is a guess, and says so.

    :param evaluations: Table of results
    """

    def __init__(self, evaluations: pd.DataFrame) -> None:
        last = evaluations.loc[evaluations.groupby("run_id")["step"].idxmax()] if len(evaluations) else evaluations
        seconds = (last["wall_time"] + last["evaluation_time"]).astype(float) / last["step"].astype(float)
        self._runs = pd.DataFrame(
            {
                "key": last["run_id"].str.rpartition("-")[0] if len(last) else [],
                "algo": last["algo"],
                "environment": last["environment"],
                "seconds_per_step": seconds,
            }
        )

    def __call__(self, configuration: Configuration) -> Estimate:
        """
        :param configuration: What is to be trained
        :return: How long one run of it will take
        """
        runs = self._runs
        same_algo = runs["algo"] == configuration.algo
        for basis, chosen in (
            ("earlier seeds", runs["key"] == configuration.key),
            ("earlier runs here", same_algo & (runs["environment"] == configuration.environment)),
            ("earlier runs elsewhere", same_algo),
        ):
            if chosen.any():
                return Estimate(configuration.steps * float(runs.loc[chosen, "seconds_per_step"].median()), basis)
        rate = ASSUMED_RATES.get(configuration.algo, DEFAULT_RATE)
        return Estimate(configuration.steps / rate, "a guess")
