"""
The learning curves of README and home page, from the results of a study.

    python -m scripts.readme_figure docs/benchmark/suite --output docs/images/learning_curves.png
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from sb3_dpg.benchmark.analysis.selection import select
from sb3_dpg.benchmark.report.figures import default_settings, learning_curves, make_styles
from sb3_dpg.benchmark.results import read_plan, read_results
from sb3_dpg.common.errors import unknown_name
from sb3_dpg.common.plotting import save_figure

#: How algorithms are called in the figure, by their names in the plan; those without results are left out
NAMES = {"bnddpg": "BNDDPG", "td3": "TD3", "sac": "SAC", "crossq": "CrossQ"}


def draw(folder: Path, names: Mapping[str, str]) -> Figure:
    """
    :param folder: Results of a study
    :param names: What to draw, and how to call it
    :return: Small panels, one for each environment
    """
    results = read_results([folder])
    selection = select(results.plan, results.evaluations)
    runs = {
        environment: {names[algorithm]: seeds for algorithm, seeds in of.items() if algorithm in names}
        for environment, of in selection.runs.items()
    }
    styles = {name: {**style, "marker": ""} for name, style in make_styles(list(names.values())).items()}
    figure = learning_curves(replace(selection, runs=runs), styles)
    figure.set_size_inches(9.0, 2.4 * -(-len(figure.axes) // 3) + 0.4)
    for index, axes in enumerate(figure.axes):
        axes.set_ylabel("" if index % 3 else "return")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """
    :param arguments: The command line, None for the process's own
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.readme_figure", description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=Path("docs/benchmark/suite"), help="default: %(default)s")
    parser.add_argument("--algorithms", nargs="+", default=list(NAMES), help="their names in the plan (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("docs/images/learning_curves.png"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    plan = read_plan(options.results)
    for name in options.algorithms:
        if name not in plan.algorithms:
            parser.error(f"--algorithms {unknown_name(name, plan.algorithms)}")
    names = {name: NAMES.get(name, name) for name in options.algorithms}
    with default_settings():
        save_figure(draw(options.results, names), options.output, dpi=120)


if __name__ == "__main__":
    main()
