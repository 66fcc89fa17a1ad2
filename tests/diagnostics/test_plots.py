"""Pictures show the numbers that were logged, and there is one for each."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from stable_baselines3.common.logger import configure

from sb3_dpg.common.plotting import COLORS
from sb3_dpg.diagnostics import DiagnosticsCallback, GreedyGap, ValueEstimateCallback
from sb3_dpg.diagnostics.plots import (
    QUANTITIES,
    STEPS,
    draw_greedy_actions,
    draw_value_estimates,
    plot_diagnostics,
    read_progress,
)
from tests.algorithms import make

PROGRESS = pd.DataFrame(
    {
        STEPS: [100, 200, 300],
        "diagnostics/actor_saturation": [0.1, np.nan, 0.9],
        "value/estimate": [5.0, 6.0, 7.0],
        "value/return": [-1.0, 0.0, 1.0],
    }
)


def test_each_logged_number_has_a_picture(tmp_path: Path) -> None:
    model = make("bnddpg")
    model.set_logger(configure(str(tmp_path), ["csv"]))
    # Pendulum's episodes have 200 steps
    model.learn(400, callback=[DiagnosticsCallback(20), ValueEstimateCallback(max_bootstrap_weight=1.0)], log_interval=1)
    model.logger.close()
    progress = read_progress(tmp_path)
    logged = {name for name in progress if name.startswith(("diagnostics/", "value/"))}
    drawn = {column for quantity in QUANTITIES.values() for column in quantity.columns}
    # These two are what the others are made of
    assert logged - drawn == {"value/overestimation", "value/bootstrap_weight"}
    assert len(plot_diagnostics({"training": progress}).axes) == len(QUANTITIES) - 1, "no evaluation, so no return"


def test_numbers_that_are_drawn() -> None:
    figure = plot_diagnostics({"one": PROGRESS, "two": PROGRESS * 2}, ["saturation", "values"])
    saturation, values = figure.axes
    first, second = saturation.lines
    np.testing.assert_array_equal(first.get_xydata(), [[100, 0.1], [300, 0.9]])
    np.testing.assert_array_equal(second.get_xydata(), [[200, 0.2], [600, 1.8]])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
    assert [line.get_color() for line in figure.legends[0].get_lines()] == [*COLORS[:2]]
    assert [text.get_text() for text in values.get_legend().get_texts()] == ["estimate", "return obtained"]
    assert [line.get_linestyle() for line in values.lines[:4]] == ["-", "--"] * 2
    assert [line.get_color() for line in values.lines[:4]] == [COLORS[0]] * 2 + [COLORS[1]] * 2
    assert values.get_yscale() == "symlog", "0 and negative numbers do not go onto a logarithmic axis"


def test_every_training_is_drawn_and_looks_its_own_way() -> None:
    runs = {f"seed {index}": PROGRESS for index in range(20)}
    figure = plot_diagnostics(runs, ["saturation"])
    (axes,) = figure.axes
    looks = [(line.get_color(), line.get_marker()) for line in axes.lines]
    assert len(set(looks)) == 20
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(runs)
    assert [(line.get_color(), line.get_marker()) for line in legend.get_lines()] == looks


def test_what_was_not_logged_is_left_out() -> None:
    assert [axes.get_title() for axes in plot_diagnostics({"one": PROGRESS}).axes] == [
        "Actor saturation",
        "Q and the discounted return",
    ]
    with pytest.raises(ValueError, match="none of the trainings has logged diagnostics"):
        plot_diagnostics({"one": PROGRESS[[STEPS]]})


def test_wrong_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="quantity 'luck' is unknown: it must be one of return, saturation"):
        plot_diagnostics({"one": PROGRESS}, ["luck"])
    (tmp_path / "progress.csv").write_text("r,l\n1,2\n")
    with pytest.raises(ValueError, match="has no column time/total_timesteps"):
        read_progress(tmp_path)
    (tmp_path / "progress.csv").write_text("")
    with pytest.raises(ValueError, match=r"progress\.csv is empty: nothing was logged yet"):
        read_progress(tmp_path)


def test_estimates_over_returns() -> None:
    axes = Figure().add_subplot()
    draw_value_estimates(axes, np.array([1.0, 2.0]), np.array([-3.0, 0.0]))
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[-3, 1], [0, 2]])
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[-3, -3], [2, 2]])
    with pytest.raises(ValueError, match="0 estimates and 0 returns"):
        draw_value_estimates(axes, np.empty(0), np.empty(0))


def test_actions_over_best_actions() -> None:
    axes = Figure().add_subplot()
    best, actor = np.array([[0.5, -1.0]]), np.array([[0.25, 1.0]])
    draw_greedy_actions(axes, GreedyGap(np.array([2.0]), np.array([0.0]), best, actor), action_dim=1)
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), [[-1.0, 1.0]])
    np.testing.assert_array_equal(axes.collections[0].get_array(), [2.0])
