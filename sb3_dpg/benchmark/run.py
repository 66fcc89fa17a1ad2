"""Running what is missing of a plan."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from sb3_dpg.benchmark.configuration import Plan
from sb3_dpg.benchmark.engine import Ended, LocalEngine, Started
from sb3_dpg.benchmark.progress import RunProgress
from sb3_dpg.benchmark.results import EVALUATIONS_FILE, PLAN_FILE, Results
from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.common.save_util import remove_leftovers

LOCK_FILE = ".lock"


@dataclass
class Summary:
    """
    :param before: Runs that were complete before
    :param completed: Runs that were completed
    :param failed: Runs that failed
    :param left: Runs that are not complete and did not fail: those left by an interruption
    """

    before: int
    completed: int = 0
    failed: int = 0
    left: int = 0


def run_plan(plan: Plan, folder: Path, engine: LocalEngine, console: Console, reused: Sequence[Path] = ()) -> Summary:
    """
    Execute the runs of a plan that are not complete. May be interrupted at any moment and called again.

    :param plan: The plan
    :param folder: Its results folder
    :param engine: What executes runs
    :param console: Where to show progress
    :param reused: Results folders whose runs need not be done again
    :return: How many runs there are of which sort
    :raises ConfigurationError: if another process has the same results folder, or a folder cannot be used
    """
    others = [reused_results(other) for other in reused]
    # Released by the system however this process ends
    lock = FileLock(folder / LOCK_FILE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ConfigurationError(f"{folder}: another process is running a plan with these results") from error
    except OSError as error:
        raise ConfigurationError(f"{folder}: no results can be written here ({error.strerror})") from error
    try:
        remove_leftovers(folder)
        results = Results(folder)
        results.write_plan(plan)
        for other in others:
            count = results.reuse(other, plan)
            console.print(f"{count} runs taken from {other.folder}", highlight=False, markup=False)
        results.clean_up(plan)
        return _run_missing(plan, results, engine, console)
    finally:
        lock.release()


def reused_results(folder: Path) -> Results:
    """The results of another folder; refuses a wrong path, by which everything would be run again."""
    if not (folder / PLAN_FILE).is_file() and not (folder / EVALUATIONS_FILE).is_file():
        raise ConfigurationError(f"--reuse {folder}: no results of a benchmark")
    return Results(folder)


def _run_missing(plan: Plan, results: Results, engine: LocalEngine, console: Console) -> Summary:
    missing = results.missing(plan)
    summary = Summary(before=len(plan.runs) - len(missing), left=len(missing))
    with (
        RunProgress(plan, missing, results, engine.jobs, console) as progress,
        contextlib.closing(engine.execute(missing)) as events,  # type: ignore[type-var]
        contextlib.suppress(KeyboardInterrupt),
    ):
        for event in events:
            match event:
                case Started(run):
                    progress.started(run)
                case Ended(run, records, error):
                    # Counted when it is written: Ctrl-C may come in between
                    if records is None:
                        results.fail(run, error)
                        summary.failed += 1
                    else:
                        results.add(run, records)
                        summary.completed += 1
                    summary.left -= 1
                    progress.ended(event)
    return summary
