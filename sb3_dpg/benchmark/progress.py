"""How far the runs of a plan are, on the console, and how long they will take."""

import heapq
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import NamedTuple

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from sb3_dpg.benchmark.configuration import Configuration, Plan, Run
from sb3_dpg.benchmark.engine import Ended
from sb3_dpg.benchmark.results import Results, error_line, join_tables

#: Steps per second with evaluation, for algorithms of which there is no result yet: a slow core, batches of 256
ASSUMED_RATES = {"copdacq": 2000.0, "crossq": 28.0, "sac": 45.0, "tqc": 30.0, "td3": 60.0, "ddpg": 80.0, "bnddpg": 50.0}
DEFAULT_RATE = 75.0


class Estimate(NamedTuple):
    """How long a run will take, and where the figure comes from."""

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
        self._runs = last[["algo", "environment"]].assign(
            key=last["run_id"].astype(str).str.rpartition("-")[0] if len(last) else [], seconds_per_step=seconds
        )

    def __call__(self, configuration: Configuration) -> Estimate:
        """How long one run of it will take."""
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


def time_together(seconds: Iterable[float], jobs: int) -> float:
    """How long runs of so many seconds take, so many at a time, in the order in which they are started."""
    ends = [0.0] * jobs
    for run in seconds:
        heapq.heapreplace(ends, ends[0] + run)
    return max(ends)


class RunProgress:
    """
    Runs done, running and left and the time to go; a line for each run that ended.

    :param plan: The plan
    :param missing: Its runs that are to be executed
    :param results: Its results, for the estimates of time
    :param jobs: Runs executed at a time
    :param console: Where to show it
    """

    def __init__(self, plan: Plan, missing: Sequence[Run], results: Results, jobs: int, console: Console) -> None:
        self._results = results
        self._jobs = jobs
        self._unfinished = {run.id: run for run in missing}
        self._running: dict[str, float] = {}
        state = TextColumn("{task.completed:.0f} of {task.total:.0f} done, {task.fields[state]}")
        name = TextColumn("[bold]{task.description}")
        self._progress = Progress(name, BarColumn(), state, TimeElapsedColumn(), console=console)
        n_runs = len(plan.runs)
        self._task = self._progress.add_task(escape(plan.name), total=n_runs, completed=n_runs - len(missing), state="")

    def __enter__(self) -> "RunProgress":
        self._progress.start()
        self._update()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def started(self, run: Run) -> None:
        """A run was started."""
        self._running[run.id] = time.monotonic()
        self._update()

    def ended(self, event: Ended) -> None:
        """A run ended."""
        del self._unfinished[event.run.id]
        elapsed = _duration(time.monotonic() - self._running.pop(event.run.id))
        if event.records is None:
            reason = escape(error_line(event.error))
            self._progress.console.print(f"[red]failed[/] {escape(str(event.run))}: {reason}")
        else:
            last = event.records[-1]["returns"]
            self._progress.console.print(f"done {escape(str(event.run))}: return {sum(last) / len(last):.1f} ({elapsed})")
            self._progress.advance(self._task)
        self._update()

    def _update(self) -> None:
        estimate = Estimator(self._results.evaluations)
        now = time.monotonic()
        seconds = []
        for run_id, run in self._unfinished.items():
            elapsed = now - self._running[run_id] if run_id in self._running else 0.0
            seconds.append(max(estimate(run.configuration).seconds - elapsed, 0.0))
        left = len(self._unfinished) - len(self._running)
        to_go = _duration(time_together(seconds, self._jobs))
        self._progress.update(self._task, state=f"{len(self._running)} running, {left} left, about {to_go} to go")


def table_of_runs(plan: Plan, results: Sequence[Results], jobs: int) -> Table:
    """The plan's runs by configuration, with an estimate of the time that the missing ones take."""
    evaluations = join_tables([result.evaluations for result in results]).drop_duplicates(["run_id", "step"])
    estimate = Estimator(evaluations)
    missing = set.intersection(*({run.id for run in result.missing(plan)} for result in results))
    left: dict[str, list[Run]] = {configuration.key: [] for configuration in plan.configurations}
    for run in plan.runs:
        if run.id in missing:
            left[run.configuration.key].append(run)
    # In a terminal of 80 columns: no lines, and only the first and the last one wrapped
    headings = ("environment", "steps", "seeds left", "a run")
    columns = [Column(heading, no_wrap=True) for heading in headings]
    table = Table("algorithm", *columns, Column("estimate", min_width=len("elsewhere")), box=None)
    seconds_of: dict[str, float] = {}
    for configuration in plan.configurations:
        seconds, basis = estimate(configuration)
        seconds_of[configuration.key] = seconds
        name, seeds = escape(configuration.algorithm), " ".join(str(run.seed) for run in left[configuration.key]) or "none"
        table.add_row(name, configuration.environment, f"{configuration.steps:,}", seeds, _duration(seconds), basis)
    seconds_left = [seconds_of[run.configuration.key] for run in plan.runs if run.id in missing]
    table.caption = (
        f"{len(plan.runs)} runs, {len(seconds_left)} missing; about {_duration(sum(seconds_left))} on one core, "
        f"{_duration(time_together(seconds_left, jobs))} with --jobs {jobs}"
    )
    return table


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
