"""Pictures of the diagnostics: from what SB3's CSV logger wrote, and from arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sb3_dpg.common.plotting import COLORS, LINE_STYLES, make_figure, series_style
from sb3_dpg.diagnostics.greedy import GreedyGap

STEPS = "time/total_timesteps"
#: Width and height of a panel, in inches
PANEL_SIZE = (4.5, 2.9)


@dataclass(frozen=True)
class Quantity:
    """
    What one panel shows.

    :param title: Its title
    :param columns: The logged names, with labels where there are several; the first is drawn solid, the second dashed
    :param log: Whether the axis is logarithmic (with a linear part around 0, where there are such numbers), if numbers
        go over more than a decade
    """

    title: str
    columns: Mapping[str, str]
    log: bool = False


QUANTITIES = {
    "return": Quantity("Return of mu", {"eval/mean_reward": ""}),
    "saturation": Quantity("Actor saturation", {"diagnostics/actor_saturation": ""}),
    "action_gradient": Quantity("Norm of dQ/da at mu(s)", {"diagnostics/action_gradient_norm": ""}, log=True),
    "actor_gradient": Quantity("Norm of the actor's gradient", {"diagnostics/actor_gradient_norm": ""}, log=True),
    "critic_gradient": Quantity("Norm of Q's gradient in its weights", {"diagnostics/critic_gradient_norm": ""}, log=True),
    "q_mean": Quantity("Q(s, mu(s)) in training", {"diagnostics/q_mean": ""}),
    "values": Quantity(
        "Q and the discounted return", {"value/estimate": "estimate", "value/return": "return obtained"}, log=True
    ),
    "greedy_gap": Quantity(
        "max Q(s, .) - Q(s, mu(s))", {"diagnostics/greedy_gap": "gap", "diagnostics/q_std": "spread of Q"}, log=True
    ),
    "batch_norm_drift": Quantity(
        "Batch-norm drift (standard deviations)",
        {"diagnostics/actor_batch_norm_drift": "actor", "diagnostics/critic_batch_norm_drift": "critic"},
        log=True,
    ),
    "noise": Quantity("Standard deviation of the noise", {"diagnostics/noise_std": ""}),
}


def read_progress(path: str | Path) -> pd.DataFrame:
    """
    :param path: The ``progress.csv`` of SB3's logger, or the folder it is in
    :return: A row for each dump of the logger; what it did not hold is NaN
    :raises ValueError: if it is empty, or there are no steps in it
    """
    path = Path(path)
    if path.is_dir():
        path = path / "progress.csv"
    if path.stat().st_size == 0:
        raise ValueError(
            f"{path} is empty: nothing was logged yet. SB3 logs every log_interval episodes, an argument of learn"
        )
    progress = pd.read_csv(path)
    if STEPS not in progress:
        raise ValueError(f"{path} has no column {STEPS}: it is not the progress.csv of an SB3 training")
    return progress


def plot_diagnostics(runs: Mapping[str, pd.DataFrame], quantities: Sequence[str] | None = None) -> Figure:
    """
    Draw the diagnostics over the steps of one or several trainings, a panel for each.

    :param runs: The trainings, by the names that the legend shows, as :func:`read_progress` reads them
    :param quantities: Which of ``QUANTITIES`` to draw; None: those that any of the trainings has logged
    :return: The figure
    :raises ValueError: if a quantity is unknown, or where none is named none was logged
    """
    if quantities is None:
        logged = set().union(*(progress.columns for progress in runs.values()))
        quantities = [name for name, quantity in QUANTITIES.items() if logged & quantity.columns.keys()]
        if not quantities:
            raise ValueError("none of the trainings has logged diagnostics: train with callback=DiagnosticsCallback()")
    figure, panels = make_figure(len(quantities), 2, PANEL_SIZE)
    for panel, name in zip(panels, quantities, strict=True):
        draw_quantity(panel, runs, name)
    name_runs(figure, list(runs))
    return figure


def name_runs(figure: Figure, runs: Sequence[str]) -> None:
    """Say above all panels which training looks how, where the legend hides nothing."""
    handles = [Line2D([], [], label=run, **series_style(index)) for index, run in enumerate(runs)]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), len(COLORS)))


def draw_quantity(axes: Axes, runs: Mapping[str, pd.DataFrame], name: str) -> None:
    """
    Draw one diagnostic over the steps, the trainings in the order of :func:`name_runs`.

    :param axes: Where to
    :param runs: The trainings by name, as :func:`read_progress` reads them
    :param name: One of ``QUANTITIES``
    :raises ValueError: if it is not
    """
    if name not in QUANTITIES:
        raise ValueError(f"quantity {name!r} is unknown: it must be one of {', '.join(QUANTITIES)}")
    quantity = QUANTITIES[name]
    lowest, highest, nearest = np.inf, -np.inf, np.inf
    for index, progress in enumerate(runs.values()):
        for column, style in zip(quantity.columns, LINE_STYLES, strict=False):
            if column in progress:
                points = progress[[STEPS, column]].dropna()
                lowest, highest = min([lowest, *points[column]]), max([highest, *points[column]])
                nearest = min([nearest, *points[column].abs()[points[column] != 0]])
                axes.plot(points[STEPS], points[column], linestyle=style, **series_style(index))
    axes.set(title=quantity.title, xlabel="steps")
    axes.locator_params(axis="x", nbins=6)
    if quantity.log and not 0 < highest < 10 * lowest:
        if lowest > 0:
            axes.set_yscale("log")
        else:
            axes.set_yscale("symlog", linthresh=min(nearest, 1.0))
    axes.grid(alpha=0.3)
    if len(quantity.columns) > 1:
        labels = zip(quantity.columns.values(), LINE_STYLES, strict=False)
        axes.legend(handles=[axes.plot([], [], style, color="0.4", label=label)[0] for label, style in labels])


def draw_value_estimates(axes: Axes, estimates: np.ndarray, returns: np.ndarray) -> None:
    """
    Draw Q(s, a) over the discounted return obtained from there on (the DDPG paper's Figure 3).

    :param axes: Where to
    :param estimates: What the critic says, (n_states,)
    :param returns: What was obtained, (n_states,): both as ``ValueEstimateCallback.pairs``
    :raises ValueError: if there is not the same number of both, or none
    """
    if not 0 < len(estimates) == len(returns):
        raise ValueError(f"{len(estimates)} estimates and {len(returns)} returns: there must be as many of both, at least 1")
    axes.plot(returns, estimates, ".", color=COLORS[0], alpha=0.3)
    ends = [min(returns.min(), estimates.min()), max(returns.max(), estimates.max())]
    axes.plot(ends, ends, "--", color="black", label="equal")
    axes.set(title="Each state", xlabel="discounted return", ylabel="Q(s, a)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def draw_greedy_actions(axes: Axes, result: GreedyGap, action_dim: int = 0) -> None:
    """
    Draw the actor's actions over those that the critic holds for best: on the diagonal where the actor follows it.

    :param axes: Where to
    :param result: What ``greedy_gap`` found
    :param action_dim: The component of the action to draw
    """
    points = axes.scatter(
        result.best_action[:, action_dim], result.actor_action[:, action_dim], c=result.gap, s=12, cmap="cividis"
    )
    axes.figure.colorbar(points, ax=axes, label="gap")
    axes.plot([-1, 1], [-1, 1], "--", color="black", label="equal")
    axes.set(title="Each state", xlabel="best action", ylabel="mu(s)", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1))
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
