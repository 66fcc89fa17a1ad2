"""The command ``sb3-dpg benchmark``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sb3_dpg.benchmark.engine import LocalEngine
from sb3_dpg.benchmark.plan import find_plan, load_plan
from sb3_dpg.benchmark.progress import table_of_runs
from sb3_dpg.benchmark.results import FAILURES_FILE, Results
from sb3_dpg.benchmark.run import reused_results, run_plan
from sb3_dpg.common.errors import Parser, run_command

#: Exit codes beside 0: all runs are complete
EXIT_FAILED_RUNS = 1
EXIT_UNUSABLE_INPUT = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a plan, or report on its results.

    :param arguments: Those of the command line, None for the process's own
    :return: Exit code
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command, rest = (_report, arguments[1:]) if arguments[:1] == ["report"] else (_run, arguments)
    return run_command("sb3-dpg benchmark", lambda: command(rest), EXIT_UNUSABLE_INPUT)


def _run(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="sb3-dpg benchmark",
        description="Run a plan: what is missing of it, so that after an interruption the same command continues.",
        epilog="sb3-dpg benchmark report RESULTS writes tables and figures.",
    )
    parser.add_argument("plan", metavar="PLAN", help="a plan, a YAML file, or the name of one that comes with the package")
    parser.add_argument("--results", type=Path, help="results folder (default: logs/benchmark/NAME-OF-THE-PLAN)")
    reuse_help = "take the runs that these results folders have"
    parser.add_argument("--reuse", type=Path, nargs="+", default=[], metavar="RESULTS", help=reuse_help)
    parser.add_argument("--dry-run", action="store_true", help="show the table of runs and how long they will take")
    parser.add_argument("-j", "--jobs", type=_positive_integer, help="runs at a time (default: the number of cores)")
    options = parser.parse_args(arguments)
    console = Console()
    plan = load_plan(find_plan(options.plan))
    folder = options.results or Path("logs", "benchmark", plan.name)
    engine = LocalEngine(options.jobs)
    if options.dry_run:
        results = Results(folder)
        results.check_plan(plan)
        console.print(table_of_runs(plan, [results, *map(reused_results, options.reuse)], engine.jobs))
        return 0
    summary = run_plan(plan, folder, engine, console, options.reuse)
    lines = [
        f"{folder}: {summary.before + summary.completed} of {len(plan.runs)} runs complete "
        f"({summary.completed} now), {summary.failed} failed, {summary.left} not run"
    ]
    if summary.failed:
        lines.append(f"Errors are in {folder / FAILURES_FILE}; the same command tries the failed runs again.")
    if summary.left:
        lines.append("Interrupted: the same command continues.")
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    if summary.left:
        return EXIT_INTERRUPTED
    return EXIT_FAILED_RUNS if summary.failed else 0


def _report(arguments: Sequence[str]) -> int:
    parser = Parser(prog="sb3-dpg benchmark report", description="Write tables and figures from the results of a plan.")
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="RESULTS", help="results folder; several are compared as those of one plan"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="the report, a Markdown file (default: RESULTS/benchmark.md; needed for several); figures go into "
        "RESULTS/figures, those of several results beside the report",
    )
    options = parser.parse_args(arguments)
    # It needs the extra "plots"
    from sb3_dpg.benchmark.report import write_report

    path = write_report(options.results, options.output)
    print(f"Written: {path}")
    return 0


def _positive_integer(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer of at least 1")
    return value
