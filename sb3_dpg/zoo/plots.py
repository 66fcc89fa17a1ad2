"""``sb3-dpg plot-train``, ``all-plots`` and ``plot-from-file``: rl-zoo3's plots, which can be saved without a display."""

import argparse
import importlib
import itertools
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import yaml

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.zoo.checkpoints import check_whole
from sb3_dpg.zoo.options import asks_for_help, check_algorithm, own_parser, split_options
from sb3_dpg.zoo.playback import replaying
from sb3_dpg.zoo.registration import register_algorithms


def plot_train(arguments: Sequence[str]) -> None:
    """``sb3-dpg plot-train``, given the command line after it."""
    options, rest, own_help = _split("plot-train", arguments)
    if not asks_for_help(rest):
        names = _look_ahead(rest)
        _check_algorithms(names)
        for folder, algo, env in itertools.product(names.folders, names.algos, names.env):
            for path in Path(folder, algo).glob(f"*{env}*/*monitor.csv"):
                check_whole(path)
    _run("plot_train", options.figures, rest, own_help)


def all_plots(arguments: Sequence[str]) -> None:
    """``sb3-dpg all-plots``, given the command line after it."""
    options, rest, own_help = _split("all-plots", arguments)
    if not asks_for_help(rest):
        names = _look_ahead(rest)
        _check_algorithms(names)
        check_evaluations(names)
    _run("all_plots", options.figures, rest, own_help)


def plot_from_file(arguments: Sequence[str]) -> None:
    """``sb3-dpg plot-from-file``, given the command line after it."""
    options, rest, own_help = _split("plot-from-file", arguments)
    path = _look_ahead(rest).input
    if path is not None:
        check_whole(Path(path.removesuffix(".pkl") + ".pkl"))
    elif not asks_for_help(rest):
        # rl-zoo3 does not require it, and fails without it
        raise ConfigurationError("plot-from-file needs -i, a file that all-plots has written by its -o")
    _run("plot_from_file", options.figures, rest, own_help)


def _split(command: str, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str], str]:
    """Our option, rl-zoo3's, and the help of ours."""
    parser = own_parser(command)
    parser.add_argument("--figures", metavar="FOLDER", help="save the figures as PNG files there instead of showing them")
    options, rest = split_options(parser, arguments)
    # The folders of runs have the names of environments so
    environments = _look_ahead(rest).env
    return options, [item.replace("/", "-") if item in environments else item for item in rest], parser.format_help()


def _look_ahead(arguments: Sequence[str]) -> argparse.Namespace:
    """What is to be plotted."""
    parser = own_parser()
    parser.add_argument("-i", "--input")
    # Or it would be "-i qm"
    parser.add_argument("-iqm", "--iqm", action="store_true")
    parser.add_argument("-a", "--algo", "--algos", nargs="+", default=[], dest="algos")
    parser.add_argument("-e", "--env", nargs="+", default=[])
    parser.add_argument("-f", "--exp-folder", "--exp-folders", nargs="+", default=[], dest="folders")
    parser.add_argument("-l", "--labels", nargs="+")
    parser.add_argument("-k", "--key", default="results")
    parser.add_argument("-max", "--max-timesteps", type=int, default=int(2e6))
    parser.add_argument("-min", "--min-timesteps", type=int, default=-1)
    return parser.parse_known_args(arguments)[0]


def _run(script: str, figures: str | None, arguments: list[str], own_help: str) -> None:
    """Run rl-zoo3's script of that name, and save its figures."""
    sys.argv[1:] = arguments
    from matplotlib import pyplot as plt

    if figures is not None:
        plt.switch_backend("agg")
    # rl_zoo3.plots imports all three, and its __init__ hides the modules behind functions of the same names
    importlib.import_module("rl_zoo3.plots")
    module = sys.modules[f"rl_zoo3.plots.{script}"]
    with warnings.catch_warnings(), replaying(None, own_help):
        warnings.filterwarnings("ignore", message=".*non-interactive")
        warnings.filterwarnings("ignore", message="No artists with labels")
        getattr(module, script)()
    if script == "plot_train" and plt.get_fignums() and not any(axes.lines for axes in plt.gcf().axes):
        # rl-zoo3 leaves out runs of fewer episodes than the window is long, and says nothing of it
        raise ConfigurationError(
            "nothing to plot: no run of that environment, or none of as many episodes as --episode-window (100 unless given)"
        )
    if figures is not None:
        save_figures(Path(figures))
    elif plt.get_fignums() and plt.get_backend().lower() == "agg" and "--no-display" not in arguments:
        # matplotlib has fallen back on a backend without windows, of which it says nothing
        print("There is no display to show figures on: --figures FOLDER saves them", file=sys.stderr)


def save_figures(folder: Path) -> None:
    """Save all open figures as PNG files named by their labels or the titles of their windows, and close them."""
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    for number in plt.get_fignums():
        figure = plt.figure(number)
        manager = figure.canvas.manager
        # Before matplotlib 3.11 the manager of a figure without a window forgets its title: it is "image" then
        title = str(figure.get_label()) or (manager.get_window_title() if manager else "")
        name = title.replace(" ", "_").replace("/", "_")
        names.append(name if name not in names else f"{name}_{number}")
        path = folder / f"{names[-1]}.png"
        figure.savefig(path, dpi=150, bbox_inches="tight")
        plt.close(figure)
        print(f"Saved {path}")


def _check_algorithms(names: argparse.Namespace) -> None:
    """Answer a misspelt algorithm with the nearest name. One that has a folder is known, whoever made it."""
    register_algorithms()
    for algo in names.algos:
        # all-plots writes them small, plot-train does not
        folders = [Path(folder, name) for folder in names.folders for name in (algo, algo.lower())]
        if not any(folder.is_dir() for folder in folders):
            check_algorithm("-a", algo.lower())


#: Log folder of a run, number of steps at each of its evaluations, and of episodes in each
Evaluations: TypeAlias = tuple[Path, np.ndarray, int]


def check_evaluations(names: argparse.Namespace) -> None:
    """Find out beforehand what rl-zoo3 fails on, plots as 0 or leaves out without a word."""
    missing = [option for option, values in (("-a", names.algos), ("-e", names.env), ("-f", names.folders)) if not values]
    if missing:
        raise ConfigurationError(f"all-plots needs {', '.join(missing)} (see sb3-dpg all-plots --help)")
    if names.labels is not None and len(names.labels) != len(names.folders):
        raise ConfigurationError(f"-l has {len(names.labels)} label(s) for {len(names.folders)} folder(s): give one for each")
    cells = {
        f"{algo.lower()} on {env} in {folder}": _read_evaluations(Path(folder, algo.lower()), env, names)
        for folder in names.folders
        for algo in names.algos
        for env in names.env
    }
    # rl-zoo3 passes over a run with one
    empty = [cell for cell, runs in cells.items() if not any(len(steps) > 1 for _, steps, _ in runs)]
    if len(empty) == len(cells):
        raise ConfigurationError(f"no run with two or more evaluations (train with --eval-freq) of {', '.join(empty)}")
    if empty:
        print(f"No run with two or more evaluations, shown as 0.0 +/- 0.0: {', '.join(empty)}", file=sys.stderr)
    for cell, runs in cells.items():
        if cell not in empty:
            _check_runs(cell, runs, names)


def _read_evaluations(folder: Path, env: str, names: argparse.Namespace) -> list[Evaluations]:
    """Those that rl-zoo3 would read of one algorithm and environment."""
    runs = []
    for path in sorted(folder.glob("*/evaluations.npz")):
        if env not in path.parent.name:
            continue
        check_whole(path)
        with np.load(path) as log:
            if names.key not in log:
                raise ConfigurationError(f"-k: {path} has no {names.key!r}, but {', '.join(log)}")
            runs.append((path.parent, log["timesteps"], log["results"].shape[1]))
    return runs


def _folders_of_agent(run: Path) -> list[Path]:
    """The folders, one in the other, of the agent that a run goes on from; none if it began by itself."""
    arguments = [yaml.load(path.read_text(), yaml.UnsafeLoader) or {} for path in run.glob("*/args.yml")]
    agents = [agent for values in arguments if (agent := values.get("trained_agent"))]
    return [folder for agent in agents for folder in Path(agent).resolve().parents]


def _check_runs(cell: str, runs: list[Evaluations], names: argparse.Namespace) -> None:
    """Refuse runs that cannot be averaged, and tell which of one algorithm and environment are not plotted."""
    counts = [int(np.sum(steps <= names.max_timesteps)) for _, steps, _ in runs]
    if max(counts) == 0:
        raise ConfigurationError(f"-max: there are no evaluations of {cell} up to step {names.max_timesteps}")
    kept: list[Evaluations] = []
    left_out: list[Evaluations] = []
    for (run, steps, episodes), count in zip(runs, counts, strict=True):
        if count == 0:
            raise ConfigurationError(f"-max: {run} has no evaluation up to step {names.max_timesteps}")
        is_short = steps[-1] < names.min_timesteps if names.min_timesteps > 0 else count < max(counts)
        (left_out if is_short else kept).append((run, steps[:count], episodes))
    if len({episodes for _, _, episodes in kept}) > 1:
        raise ConfigurationError(f"runs of {cell} differ in their number of episodes an evaluation, and cannot be averaged")
    by_folder = {run.resolve(): run for run, _, _ in kept}
    for run in by_folder.values():
        for folder in by_folder.keys() & _folders_of_agent(run):
            raise ConfigurationError(f"{run} continues {by_folder[folder]}: they are one run, move the earlier one away")
    if sum(episodes for _, _, episodes in kept) < 2:
        raise ConfigurationError(f"all-plots needs two or more runs, or two or more episodes an evaluation, of {cell}")
    # With -min those of more evaluations are matched to those of the fewest, by their steps; all others are by their number
    fewest = min(len(steps) for _, steps, _ in kept)
    averaged = [(run, steps) for run, steps, _ in kept if len(steps) == fewest]
    for run, steps in averaged:
        if not np.array_equal(steps, averaged[0][1]):
            raise ConfigurationError(
                f"{averaged[0][0]} and {run} were evaluated at different steps, and cannot be averaged: move one of them to a "
                "folder of its own"
            )
    if left_out:
        longest = kept[0][1]
        is_frequency = any(not np.array_equal(steps, longest[: len(steps)]) for _, steps, _ in left_out)
        hint = "-min STEPS plots all that are as long" if is_frequency else "-max STEPS plots all of them up to that step"
        shorter = ", ".join(f"{run.name} (to step {steps[-1]})" for run, steps, _ in left_out)
        print(f"Not plotted, as they are shorter than the others of {cell}: {shorter}. {hint}", file=sys.stderr)
    if len(kept) == 1 or all(episodes == 1 for _, _, episodes in runs):
        print(f"+/- 0 of {cell} is unknown, not 0: it has one run, or one episode an evaluation", file=sys.stderr)
