"""``sb3-dpg plot-train``, ``all-plots`` and ``plot-from-file``: rl-zoo3's plots, which can be saved without a display."""

import argparse
import glob
import importlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from sb3_dpg.zoo.errors import ConfigurationError
from sb3_dpg.zoo.figures import BACKEND, save_figures
from sb3_dpg.zoo.options import check_algorithm, own_parser, split_options
from sb3_dpg.zoo.registration import register_algorithms


def _run(script: str, arguments: Sequence[str]) -> None:
    """
    :param script: Name of the script and of its function
    :param arguments: Its command line
    """
    parser = own_parser(script.replace("_", "-"))
    parser.add_argument("--figures", metavar="FOLDER", help="save the figures as PNG files there instead of showing them")
    options, rest = split_options(parser, arguments)
    if script != "plot_from_file":
        names = _look_ahead(rest)
        _check_algorithms(names)
        if script == "all_plots":
            _check_evaluations(names)
    sys.argv[1:] = rest
    if options.figures is not None:
        import matplotlib

        matplotlib.use(BACKEND)
    # rl_zoo3.plots imports all three, and its __init__ hides the modules behind functions of the same names
    importlib.import_module("rl_zoo3.plots")
    module = sys.modules[f"rl_zoo3.plots.{script}"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-interactive")
        try:
            getattr(module, script)()
        except FileNotFoundError as error:
            raise ConfigurationError(str(error)) from error
        except ValueError as error:
            if script == "plot_from_file" and "empty" in str(error):
                raise ConfigurationError(
                    "plot-from-file needs two or more runs (seeds) of each algorithm, of two or more episodes an evaluation"
                ) from error
            raise
    if options.figures is not None:
        save_figures(Path(options.figures))


def _look_ahead(arguments: Sequence[str]) -> argparse.Namespace:
    """
    :param arguments: The command line of ``all-plots`` or ``plot-train``
    :return: Algorithms, parts of the names of environments, and log folders
    """
    parser = own_parser("")
    parser.add_argument("-a", "--algo", "--algos", nargs="+", default=[], dest="algos")
    parser.add_argument("-e", "--env", nargs="+", default=[])
    parser.add_argument("-f", "--exp-folder", "--exp-folders", nargs="+", default=[], dest="folders")
    return parser.parse_known_args(arguments)[0]


def _check_algorithms(names: argparse.Namespace) -> None:
    """
    Answer a misspelt algorithm with the nearest name. One that has a folder is known, whoever made it.

    :param names: What is to be plotted
    :raises ConfigurationError: if a name is unknown
    """
    register_algorithms()
    for algo in names.algos:
        # all-plots writes them small, plot-train does not
        folders = [Path(folder, name) for folder in names.folders for name in (algo, algo.lower())]
        if not any(folder.is_dir() for folder in folders):
            check_algorithm("-a", algo.lower())


def _check_evaluations(names: argparse.Namespace) -> None:
    """
    rl-zoo3 plots a return of 0 where there are no evaluations.

    :param names: What ``all-plots`` is to plot
    :raises ConfigurationError: if there is nothing to plot at all
    """
    cells = [(folder, algo.lower(), env) for folder in names.folders for algo in names.algos for env in names.env]
    missing = [
        f"{algo} on {env} in {folder}"
        for folder, algo, env in cells
        if not list(Path(folder, algo).glob(f"*{glob.escape(env)}*/evaluations.npz"))
    ]
    if missing and len(missing) == len(cells):
        raise ConfigurationError(f"no evaluations (train with --eval-freq) of {', '.join(missing)}")
    if missing:
        print(f"No evaluations, shown as 0: {', '.join(missing)}", file=sys.stderr)


def plot_train(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg plot-train``
    """
    _run("plot_train", arguments)


def all_plots(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg all-plots``
    """
    _run("all_plots", arguments)


def plot_from_file(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg plot-from-file``
    """
    _run("plot_from_file", arguments)
