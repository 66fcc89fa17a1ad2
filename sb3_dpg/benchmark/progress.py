"""How far a study is, on the console."""

import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from sb3_dpg.benchmark.configuration import Run
from sb3_dpg.benchmark.engines.base import Ended
from sb3_dpg.benchmark.estimate import Estimator, time_together
from sb3_dpg.benchmark.plan import Plan
from sb3_dpg.benchmark.results import Results, error_line, join_tables


class StudyProgress:
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
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f} done, {task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
        )
        n_runs = len(plan.runs)
        self._task = self._progress.add_task(escape(plan.name), total=n_runs, completed=n_runs - len(missing), state="")

    def __enter__(self) -> "StudyProgress":
        self._progress.start()
        self._update()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def started(self, run: Run) -> None:
        """
        :param run: A run that was started
        """
        self._running[run.id] = time.monotonic()
        self._update()

    def ended(self, event: Ended) -> None:
        """
        :param event: How a run ended
        """
        del self._unfinished[event.run.id]
        elapsed = duration(time.monotonic() - self._running.pop(event.run.id))
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
        to_go = duration(time_together(seconds, self._jobs))
        self._progress.update(self._task, state=f"{len(self._running)} running, {left} left, about {to_go} to go")


def table_of_runs(plan: Plan, results: Sequence[Results], jobs: int) -> Table:
    """
    :param plan: A plan
    :param results: Its results so far, in one folder or several
    :param jobs: Runs executed at a time
    :return: Its runs by configuration, with an estimate of the time that the missing ones take
    """
    evaluations = join_tables([result.evaluations for result in results]).drop_duplicates(["run_id", "step"])
    estimate = Estimator(evaluations)
    completed = set(evaluations["run_id"])
    seconds_of: dict[str, float] = {}
    # In a terminal of 80 columns: no lines, and only the last one wrapped
    headings = ("algorithm", "environment", "steps", "seeds left", "a run")
    table = Table(*(Column(heading, no_wrap=True) for heading in headings), "estimate", box=None)
    for configuration in plan.configurations:
        missing = [seed for seed in plan.seeds if Run(configuration, seed).id not in completed]
        seconds, basis = estimate(configuration)
        seconds_of[configuration.key] = seconds
        table.add_row(
            escape(configuration.algorithm),
            configuration.environment,
            f"{configuration.steps:,}",
            " ".join(map(str, missing)) or "none",
            duration(seconds),
            basis,
        )
    left = [seconds_of[run.configuration.key] for run in plan.runs if run.id not in completed]
    table.caption = (
        f"{len(plan.runs)} runs, {len(left)} missing; "
        f"about {duration(sum(left))} on one core, {duration(time_together(left, jobs))} with --jobs {jobs}"
    )
    return table


def duration(seconds: float) -> str:
    """
    :param seconds: A number of seconds
    :return: Hours, minutes and seconds
    """
    return str(timedelta(seconds=round(seconds)))
