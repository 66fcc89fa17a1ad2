"""The figures of a report."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from sb3_dpg.benchmark.analysis.selection import Selection
from sb3_dpg.benchmark.analysis.statistics import interval_estimates, iqm_curve, performance_profiles
from sb3_dpg.benchmark.analysis.suite import Comparison, Suite
from sb3_dpg.common.plotting import LINE_STYLES, make_figure, save_figure, series_style

# More of them cannot be told apart
CURVES_PER_PANEL = 8

#: Keyword arguments of ``Axes.plot`` by algorithm, the same in all figures
Styles = Mapping[str, Mapping[str, Any]]


@contextmanager
def default_settings() -> Iterator[None]:
    """The same pictures whatever the user's settings of Matplotlib are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def make_styles(algorithms: Sequence[str]) -> Styles:
    """Colour, mark and line of each algorithm."""
    return {
        name: {**series_style(index), "linestyle": LINE_STYLES[index % len(LINE_STYLES)]}
        for index, name in enumerate(algorithms)
    }


def _legible(algorithms: Sequence[str]) -> list[list[str]]:
    """Those to draw in each panel: all in one, or where they are too many, each beside the first."""
    if len(algorithms) <= CURVES_PER_PANEL:
        return [list(algorithms)]
    return [[algorithms[0], name] for name in algorithms[1:]]


def _draw_curve(axes: Axes, name: str, style: Mapping[str, Any], x: np.ndarray, y: np.ndarray, interval: np.ndarray) -> None:
    """One curve, (n,), with its interval, (2, n)."""
    axes.plot(x, y, label=name, **style)
    axes.fill_between(x, *interval, color=style["color"], alpha=0.15, linewidth=0)
    axes.grid(alpha=0.2)


def _add_legend(figure: Figure) -> Figure:
    """One legend for all panels."""
    labelled = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {label: handle for pair in labelled for handle, label in zip(*pair, strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4)
    return figure


def learning_curves(selection: Selection, styles: Styles) -> Figure:
    """Return against steps, a panel for each environment or more; the legend has the number of seeds."""
    numbers: dict[str, set[int]] = {}
    for runs in selection.runs.values():
        for algorithm, seeds in runs.items():
            numbers.setdefault(algorithm, set()).add(len(seeds))
    content = [(environment, names) for environment, runs in selection.runs.items() if runs for names in _legible(list(runs))]
    first_of: dict[str, Axes] = {}
    figure, panels = make_figure(len(content))
    for axes, (environment, names) in zip(panels, content, strict=True):
        if first_of.setdefault(environment, axes) is not axes:
            axes.sharey(first_of[environment])
        for algorithm in names:
            returns = selection.mean_returns(environment, algorithm)
            points, intervals = interval_estimates({algorithm: returns.to_numpy()[:, None, :]}, iqm_curve)
            steps = returns.columns.to_numpy()
            number = " or ".join(map(str, sorted(numbers[algorithm])))
            label = f"{algorithm} ({number} {'seed' if number == '1' else 'seeds'})"
            _draw_curve(axes, label, styles[algorithm], steps, points[algorithm], intervals[algorithm])
        split = len(selection.runs[environment]) > len(names)
        axes.set(title=f"{environment}: {names[-1]}" if split else environment, xlabel="steps")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_ylabel("return: IQM over seeds, 95 % CI")
    return _add_legend(figure)


def _sample_efficiency(suite: Suite, styles: Styles) -> Figure:
    """Interquartile mean of the normalised score against the share of the training steps."""
    points, intervals = interval_estimates(suite.curves, iqm_curve)
    n_points = len(points[suite.algorithms[0]])
    share = 100 * np.arange(1, n_points + 1) / n_points
    labels = {"xlabel": "% of the training steps", "ylabel": "normalised score: IQM, 95 % CI"}
    return _curves_of_all(share, points, intervals, styles, labels)


def _profile_figure(suite: Suite, styles: Styles) -> Figure:
    """Share of runs above each score."""
    scores = np.concatenate(list(suite.final.values()))
    thresholds = np.linspace(min(0.0, scores.min()), scores.max(), 81)
    points, intervals = performance_profiles(suite.final, thresholds)
    labels = {"xlabel": r"normalised score $\tau$", "ylabel": r"share of runs with score $> \tau$"}
    return _curves_of_all(thresholds, points, intervals, styles, labels, marker="")


def _curves_of_all(
    x: np.ndarray,
    points: Mapping[str, np.ndarray],
    intervals: Mapping[str, np.ndarray],
    styles: Styles,
    labels: Mapping[str, str],
    **changes: str,
) -> Figure:
    """One curve for each algorithm, in as many panels as it takes."""
    content = _legible(list(points))
    figure, panels = make_figure(len(content))
    for axes, names in zip(panels, content, strict=True):
        if axes is not panels[0]:
            axes.sharey(panels[0])
        for name in names:
            _draw_curve(axes, name, {**styles[name], **changes}, x, points[name], intervals[name])
        axes.set(**labels)
    return _add_legend(figure)


def draw_all(selection: Selection, comparison: Comparison | None, folder: Path) -> dict[str, str]:
    """
    :param selection: Complete runs
    :param comparison: The algorithms against each other, None if there is nothing to compare
    :param folder: Where to write the figures
    :return: Their file names, and what they show; the learning curves come first
    """
    styles = make_styles(selection.plan.algorithms)
    with default_settings():
        figures = {"Learning curves": learning_curves(selection, styles)}
        if comparison is not None:
            figures["Sample efficiency"] = _sample_efficiency(comparison.suite, styles)
            figures["Performance profile"] = _profile_figure(comparison.suite, styles)
        names = {f"{caption.lower().replace(' ', '_')}.png": caption for caption in figures}
        for name, caption in names.items():
            save_figure(figures[caption], folder / name)
    return names
