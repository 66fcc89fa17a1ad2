"""What all engines have in common."""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sb3_dpg.benchmark.configuration import Run
from sb3_dpg.benchmark.training import train


@dataclass(frozen=True)
class Started:
    """
    A run was started.

    :param run: Which
    """

    run: Run


@dataclass(frozen=True)
class Ended:
    """
    A run ended.

    :param run: Which
    :param records: Its evaluations; None if it failed
    :param error: Why it failed: a traceback or a message; empty if it did not
    """

    run: Run
    records: list[dict[str, Any]] | None = None
    error: str = ""


class Engine(Protocol):
    """Something that executes runs, several at a time."""

    @property
    def jobs(self) -> int:
        """How many runs are executed at a time."""

    def execute(self, runs: Sequence[Run]) -> Iterator[Started | Ended]:
        """
        Execute runs; when the iterator is closed, those that are not complete are stopped.

        :param runs: What to execute, in this order
        :return: What happens, when it happens: for each run that it was started, and later that it ended
        """


def attempt(run: Run) -> Ended:
    """
    Execute a run, in the process of a worker.

    :param run: What to train
    :return: Its evaluations or its error
    """
    try:
        return Ended(run, records=train(run))
    except Exception:
        # Messages may have what files and consoles cannot: paths that are not UTF-8
        return Ended(run, error=traceback.format_exc().encode(errors="backslashreplace").decode())
