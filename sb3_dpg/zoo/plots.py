"""``sb3-dpg plot-train``, ``all-plots`` and ``plot-from-file``: rl-zoo3's plots, which can be saved without a display."""

import argparse
import glob
import importlib
import pickle
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sb3_dpg.common.errors import ConfigurationError
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
    if script == "plot_from_file":
        _check_file(rest)
    else:
        names = _look_ahead(rest)
        # The folders of runs have the names of environments so
        rest = [item.replace("/", "-") if item in names.env else item for item in rest]
        names.env = [env.replace("/", "-") for env in names.env]
        _check_algorithms(names)
        if script == "all_plots" and not {"-h", "--help"}.intersection(rest):
            _check_all_plots(names)
            _check_evaluations(names)
    sys.argv[1:] = rest
    if options.figures is not None:
        import matplotlib

        matplotlib.use(BACKEND)
    # rl_zoo3.plots imports all three, and its __init__ hides the modules behind functions of the same names
    importlib.import_module("rl_zoo3.plots")
    module = sys.modules[f"rl_zoo3.plots.{script}"]
    with warnings.catch_warnings(), _errors_in_one_line(script):
        warnings.filterwarnings("ignore", message=".*non-interactive")
        warnings.filterwarnings("ignore", message="No artists with labels")
        getattr(module, script)()
    if script == "plot_train":
        _check_curves()
    if options.figures is not None:
        save_figures(Path(options.figures))
    elif _no_display() and "--no-display" not in rest:
        print("There is no display to show figures on: --figures FOLDER saves them", file=sys.stderr)


@contextmanager
def _errors_in_one_line(script: str) -> Iterator[None]:
    """
    :param script: Name of the script that runs inside
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ConfigurationError(str(error)) from error
    except pickle.UnpicklingError as error:
        raise ConfigurationError(f"-i: not a file that all-plots has written ({error})") from error
    except KeyError as error:
        if script != "all_plots":
            raise
        raise ConfigurationError(f"-k: some evaluations have no such key: {error.args[0]}") from error
    except ValueError as error:
        if script == "plot_from_file" and "empty" in str(error):
            message = "plot-from-file needs two or more runs (seeds) of each algorithm, of two or more episodes an evaluation"
            raise ConfigurationError(message) from error
        if script == "plot_from_file" and "zip()" in str(error):
            raise ConfigurationError("-l: give one label for each algorithm in the file of -i") from error
        # NumPy's AxisError is both, and is found in another module since NumPy 1.25
        if script == "all_plots" and isinstance(error, IndexError):
            raise ConfigurationError("all-plots needs two or more runs, or two or more episodes an evaluation") from error
        raise
    except IndexError as error:
        if script != "all_plots":
            raise
        raise ConfigurationError("-max: there are no evaluations up to that step") from error


def _look_ahead(arguments: Sequence[str]) -> argparse.Namespace:
    """
    :param arguments: The command line of ``all-plots`` or ``plot-train``
    :return: Algorithms, parts of the names of environments, log folders and their labels
    """
    parser = own_parser("")
    parser.add_argument("-a", "--algo", "--algos", nargs="+", default=[], dest="algos")
    parser.add_argument("-e", "--env", nargs="+", default=[])
    parser.add_argument("-f", "--exp-folder", "--exp-folders", nargs="+", default=[], dest="folders")
    parser.add_argument("-l", "--labels", nargs="+")
    return parser.parse_known_args(arguments)[0]


def _check_file(arguments: Sequence[str]) -> None:
    """
    rl-zoo3 does not require the option either, and fails without it.

    :param arguments: The command line of ``plot-from-file``
    :raises ConfigurationError: if it names no file
    """
    parser = own_parser("")
    parser.add_argument("-i", "--input")
    if parser.parse_known_args(arguments)[0].input is None and not {"-h", "--help"}.intersection(arguments):
        raise ConfigurationError("plot-from-file needs -i, a file that all-plots has written by its -o")


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


def _check_all_plots(names: argparse.Namespace) -> None:
    """
    rl-zoo3 requires none of its options, and fails without them.

    :param names: What ``all-plots`` is to plot
    :raises ConfigurationError: if an option is missing, or the labels are not as many as the folders
    """
    missing = [option for option, values in (("-a", names.algos), ("-e", names.env), ("-f", names.folders)) if not values]
    if missing:
        raise ConfigurationError(f"all-plots needs {', '.join(missing)} (see sb3-dpg all-plots --help)")
    if names.labels is not None and len(names.labels) != len(names.folders):
        raise ConfigurationError(f"-l has {len(names.labels)} label(s) for {len(names.folders)} folder(s): give one for each")


def _no_display() -> bool:
    """
    :return: Whether there are figures and matplotlib has fallen back on a backend without windows, of which it says nothing
    """
    import matplotlib
    from matplotlib import pyplot as plt

    return bool(plt.get_fignums()) and matplotlib.get_backend().lower() == "agg"


def _check_curves() -> None:
    """
    rl-zoo3 leaves out runs of fewer episodes than the window is long, and says nothing of it.

    :raises ConfigurationError: if it left out all of them. (After a window was shown and closed there is no figure)
    """
    from matplotlib import pyplot as plt

    if plt.get_fignums() and not any(axes.lines for axes in plt.gcf().axes):
        raise ConfigurationError(
            "nothing to plot: no run of that environment, or none of as many episodes as --episode-window (100 unless given)"
        )


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
