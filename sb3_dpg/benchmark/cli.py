"""The command ``sb3-dpg benchmark``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sb3_dpg.benchmark.engines.base import Engine
from sb3_dpg.common.errors import DEBUG_VARIABLE, ConfigurationError

#: Exit codes beside 0: all runs are complete
EXIT_FAILED_RUNS = 1
EXIT_UNUSABLE_INPUT = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a study, or report on the results of one.

    :param arguments: Those of the command line, None for the process's own
    :return: Exit code
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if arguments[:1] == ["report"]:
            return report(arguments[1:])
        return run(arguments)
    except ConfigurationError as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"sb3-dpg benchmark: error: {error}", file=sys.stderr)
        return EXIT_UNUSABLE_INPUT


def run(arguments: Sequence[str]) -> int:
    """
    :param arguments: Those of ``sb3-dpg benchmark PLAN``
    :return: Exit code
    """
    options = make_run_parser().parse_args(arguments)
    if options.address is not None and options.engine != "ray":
        raise ConfigurationError("--address is for --engine ray")
    from sb3_dpg.benchmark.plan import find_plan, load_plan
    from sb3_dpg.benchmark.progress import table_of_runs
    from sb3_dpg.benchmark.results import FAILURES_FILE, Results
    from sb3_dpg.benchmark.run import reused_results, run_study

    console = Console()
    plan = load_plan(find_plan(options.plan))
    folder = options.results or Path("logs", "benchmark", plan.name)
    if options.dry_run:
        results = [Results(folder), *map(reused_results, options.reuse)]
        console.print(table_of_runs(plan, results, options.jobs or os.cpu_count() or 1))
        return 0
    summary = run_study(plan, folder, make_engine(options), console, options.reuse)
    console.print(
        f"{folder}: {summary.before + summary.completed} of {len(plan.runs)} runs complete "
        f"({summary.completed} now), {summary.failed} failed, {summary.left} not run",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if summary.failed:
        errors = f"Errors are in {folder / FAILURES_FILE}; the same command tries the failed runs again."
        console.print(errors, highlight=False, markup=False, soft_wrap=True)
    if summary.left:
        console.print("Interrupted: the same command continues.")
        return EXIT_INTERRUPTED
    return EXIT_FAILED_RUNS if summary.failed else 0


def make_engine(options: argparse.Namespace) -> Engine:
    """
    :param options: The parsed command line
    :return: What executes runs
    """
    if options.engine == "ray":
        from sb3_dpg.benchmark.engines.ray import RayEngine

        return RayEngine(address=options.address, jobs=options.jobs)
    from sb3_dpg.benchmark.engines.local import LocalEngine

    return LocalEngine(options.jobs)


def report(arguments: Sequence[str]) -> int:
    """
    :param arguments: Those of ``sb3-dpg benchmark report RESULTS``
    :return: Exit code
    """
    options = make_report_parser().parse_args(arguments)
    from sb3_dpg.benchmark.report import write_report

    path = write_report(options.results, options.output)
    print(f"Written: {path}")
    return 0


def make_run_parser() -> argparse.ArgumentParser:
    """
    :return: The parser of ``sb3-dpg benchmark PLAN``
    """
    parser = argparse.ArgumentParser(
        prog="sb3-dpg benchmark",
        description="Run a study: what is missing of it, so that after an interruption the same command continues.",
        epilog="sb3-dpg benchmark report RESULTS writes tables and figures.",
    )
    parser.add_argument("plan", metavar="PLAN", help="a plan, a YAML file, or the name of one that comes with the package")
    parser.add_argument("--results", type=Path, help="results folder (default: logs/benchmark/NAME-OF-THE-PLAN)")
    parser.add_argument(
        "--reuse",
        type=Path,
        nargs="+",
        default=[],
        metavar="RESULTS",
        help="take the runs that these results folders have",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the table of runs and how long they will take")
    parser.add_argument(
        "-j",
        "--jobs",
        type=positive_integer,
        help="runs at a time (default: the number of cores, of the whole cluster with --engine ray)",
    )
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="local processes or Ray (default: local)")
    parser.add_argument("--address", help="address of a Ray cluster (default: a cluster on this machine)")
    return parser


def make_report_parser() -> argparse.ArgumentParser:
    """
    :return: The parser of ``sb3-dpg benchmark report RESULTS``
    """
    parser = argparse.ArgumentParser(
        prog="sb3-dpg benchmark report", description="Write the tables and figures of a study from its results folder."
    )
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="RESULTS", help="results folder; several are compared as one study"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="the report, a Markdown file (default: RESULTS/benchmark.md; needed for several); figures go into "
        "RESULTS/figures, those of several results beside the report",
    )
    return parser


def positive_integer(text: str) -> int:
    """
    :param text: What was given on the command line
    :return: An integer of at least 1
    """
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer of at least 1")
    return value
