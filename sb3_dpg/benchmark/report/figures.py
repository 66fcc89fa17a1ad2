"""The figures, in colours that the colour-blind can tell apart, and with different marks and lines besides."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from rliable import plot_utils

from sb3_dpg.benchmark.analysis.comparison import Comparison
from sb3_dpg.benchmark.analysis.selection import Selection
from sb3_dpg.benchmark.analysis.statistics import (
    AGGREGATES,
    interval_estimates,
    iqm_curve,
    performance_profiles,
)
from sb3_dpg.benchmark.analysis.suite import Suite

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINE_STYLES = ("solid", "dashed", "dashdot", "dotted")
DOTS_PER_INCH = 100
PANELS_PER_ROW = 3
# More of them cannot be told apart
CURVES_PER_PANEL = 8


@contextmanager
def drawing() -> Iterator[None]:
    """The same pictures whatever the user's settings, backend and fonts are."""
    backend = matplotlib.get_backend()
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            plt.switch_backend("agg")
            yield
    finally:
        plt.close("all")
        plt.switch_backend(backend)


def save(figure: Figure, path: Path) -> None:
    """
    :param figure: A figure
    :param path: Where to write it as PNG; without date and program version, so that the same figure is the same file
    """
    figure.savefig(path, dpi=DOTS_PER_INCH, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


class Style:
    """
    Colour, mark and line of each algorithm, the same in all figures.

    :param algorithms: Names
    """

    def __init__(self, algorithms: Sequence[str]) -> None:
        palette = sns.color_palette("colorblind", n_colors=len(algorithms))
        self.colors = dict(zip(algorithms, palette, strict=True))
        self.lines = {name: LINE_STYLES[index % len(LINE_STYLES)] for index, name in enumerate(algorithms)}
        self.markers = {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(algorithms)}

    def curve(self, axes: Axes, algorithm: str, x: np.ndarray, y: np.ndarray, interval: np.ndarray) -> None:
        """
        :param axes: Where to draw
        :param algorithm: Whose curve it is
        :param x: Horizontal values, (n,)
        :param y: Vertical values, (n,)
        :param interval: Their interval, (2, n)
        """
        color = self.colors[algorithm]
        axes.plot(
            x, y, color=color, linestyle=self.lines[algorithm], marker=self.markers[algorithm], markersize=4, label=algorithm
        )
        axes.fill_between(x, *interval, color=color, alpha=0.15, linewidth=0)


def legible(algorithms: Sequence[str]) -> list[list[str]]:
    """
    :param algorithms: Names
    :return: Those to draw in each panel: all in one, or where they are too many, each beside the first
    """
    if len(algorithms) <= CURVES_PER_PANEL:
        return [list(algorithms)]
    return [[algorithms[0], name] for name in algorithms[1:]]


@contextmanager
def panels(n_panels: int) -> Iterator[tuple[Figure, list[Axes]]]:
    """
    :param n_panels: How many
    :return: A figure of as many panels; at the end it gets one legend for all of them
    """
    n_columns = min(n_panels, PANELS_PER_ROW)
    n_rows = -(-n_panels // n_columns)
    figure, grid = plt.subplots(n_rows, n_columns, figsize=(5 * n_columns, 3.6 * n_rows), squeeze=False)
    for axes in grid.flat[n_panels:]:
        axes.set_visible(False)
    yield figure, list(grid.flat[:n_panels])
    handles = {label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4)
    figure.tight_layout()


def learning_curves(selection: Selection, style: Style) -> Figure:
    """
    :param selection: Complete runs
    :param style: Style of each algorithm
    :return: Return against steps, a panel for each environment or more
    """
    content = [(environment, names) for environment, runs in selection.runs.items() if runs for names in legible(list(runs))]
    first_of: dict[str, Axes] = {}
    with panels(len(content)) as (figure, grid):
        for axes, (environment, names) in zip(grid, content, strict=True):
            axes.sharey(first_of.setdefault(environment, axes))
            for algorithm in names:
                returns = selection.mean_returns(environment, algorithm)
                points, intervals = interval_estimates({algorithm: returns.to_numpy()[:, None, :]}, iqm_curve)
                style.curve(axes, algorithm, returns.columns.to_numpy(), points[algorithm], intervals[algorithm])
            split = len(selection.runs[environment]) > len(names)
            axes.set_title(f"{environment}: {names[-1]}" if split else environment)
            axes.set_xlabel("steps")
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.set_ylabel("return: IQM over seeds, 95 % CI")
            axes.grid(alpha=0.2)
    return figure


def sample_efficiency(suite: Suite, style: Style) -> Figure:
    """
    :param suite: What is aggregated
    :param style: Style of each algorithm
    :return: Interquartile mean of the normalised score against the share of the training steps
    """
    points, intervals = interval_estimates(suite.curves, iqm_curve)
    content = legible(suite.algorithms)
    with panels(len(content)) as (figure, grid):
        for axes, names in zip(grid, content, strict=True):
            axes.sharey(grid[0])
            for algorithm in names:
                share = 100 * np.arange(1, len(points[algorithm]) + 1) / len(points[algorithm])
                style.curve(axes, algorithm, share, points[algorithm], intervals[algorithm])
            axes.set_xlabel("% of the training steps")
            axes.set_ylabel("normalised score: IQM, 95 % CI")
            axes.grid(alpha=0.2)
    return figure


def aggregate_figure(comparison: Comparison, style: Style) -> Figure:
    """
    :param comparison: The algorithms against each other
    :param style: Style of each algorithm
    :return: The aggregates with their intervals
    """
    points, intervals = comparison.final
    algorithms = comparison.suite.algorithms
    figure, _ = plot_utils.plot_interval_estimates(
        points,
        intervals,
        metric_names=AGGREGATES,
        algorithms=algorithms[::-1],
        colors=style.colors,
        xlabel="normalised score",
        xlabel_y_coordinate=-1.6 / len(algorithms),
    )
    assert isinstance(figure, Figure)
    return figure


def profile_figure(suite: Suite, style: Style) -> Figure:
    """
    :param suite: What is compared
    :param style: Style of each algorithm
    :return: Share of runs above each score
    """
    scores = np.concatenate(list(suite.final.values()))
    thresholds = np.linspace(min(0.0, scores.min()), scores.max(), 81)
    profiles, intervals = performance_profiles(suite.final, thresholds)
    content = legible(suite.algorithms)
    with panels(len(content)) as (figure, grid):
        for axes, names in zip(grid, content, strict=True):
            plot_utils.plot_performance_profiles(
                {name: profiles[name] for name in names},
                thresholds,
                performance_profile_cis={name: intervals[name] for name in names},
                colors=style.colors,
                linestyles=style.lines,
                xlabel=r"normalised score $\tau$",
                ylabel=r"share of runs with score $> \tau$",
                labelsize="medium",
                ticklabelsize="medium",
                ax=axes,
            )
    return figure


def improvement_figure(comparison: Comparison) -> Figure:
    """
    :param comparison: The algorithms against each other
    :return: Probabilities that a run of the first algorithm is better than one of each other
    """
    first, *others = comparison.suite.algorithms
    # In names of one line it cannot be, unlike the separator of the tables
    separator = "\n"
    points, intervals = (
        {f"{first}{separator}{other}": values for other, values in zip(others, estimates.values(), strict=True)}
        for estimates in comparison.improvement
    )
    figure, axes = plt.subplots(figsize=(5, 0.6 + 0.5 * len(points)))
    plot_utils.plot_probability_of_improvement(
        points, intervals, pair_separator=separator, ax=axes, color_palette="colorblind"
    )
    axes.axvline(0.5, color="black", linestyle="dotted")
    return figure


def draw_all(selection: Selection, comparison: Comparison | None, folder: Path) -> Mapping[str, str]:
    """
    :param selection: Complete runs
    :param comparison: The algorithms against each other, None if there is nothing to compare
    :param folder: Where to write the figures
    :return: Their file names, and what they show
    """
    folder.mkdir(parents=True, exist_ok=True)
    style = Style(list(dict.fromkeys(configuration.algorithm for configuration in selection.plan.configurations)))
    figures: dict[str, tuple[Any, ...]] = {"learning_curves.png": ("Learning curves", learning_curves, selection, style)}
    if comparison is not None:
        suite = comparison.suite
        figures |= {
            "aggregates.png": ("Aggregates of the last evaluations", aggregate_figure, comparison, style),
            "sample_efficiency.png": ("Sample efficiency", sample_efficiency, suite, style),
            "performance_profile.png": ("Performance profile", profile_figure, suite, style),
        }
        if len(suite.algorithms) > 1:
            figures["probability_of_improvement.png"] = ("Probability of improvement", improvement_figure, comparison)
    for name, (_, draw, *arguments) in figures.items():
        with drawing():
            save(draw(*arguments), folder / name)
    return {name: caption for name, (caption, *_) in figures.items()}
