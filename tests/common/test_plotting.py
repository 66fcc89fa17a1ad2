"""One look for all figures."""

from pathlib import Path

import pytest
from matplotlib import pyplot as plt

from sb3_dpg.common.plotting import make_figure, save_figure, series_style


def test_the_first_42_series_all_differ() -> None:
    assert len({tuple(series_style(index).items()) for index in range(42)}) == 42
    assert series_style(42) == series_style(0)


@pytest.mark.parametrize(("n_panels", "n_columns", "grid"), [(1, 3, (1, 1)), (2, 3, (1, 2)), (4, 3, (2, 3)), (4, 2, (2, 2))])
def test_panels_are_in_rows(n_panels: int, n_columns: int, grid: tuple[int, int]) -> None:
    figure, panels = make_figure(n_panels, n_columns, panel_size=(2.0, 1.0))
    assert figure.axes == panels
    assert len(panels) == n_panels
    assert panels[0].get_gridspec().get_geometry() == grid
    assert figure.get_size_inches().tolist() == [2.0 * grid[1], grid[0]]
    assert plt.get_fignums() == [], "no figure is kept"


def test_the_same_figure_is_the_same_file_in_a_folder_that_is_made(tmp_path: Path) -> None:
    files = [tmp_path / name / "figure.png" for name in ("a", "b")]
    for path in files:
        figure, (axes,) = make_figure()
        axes.plot([0, 1], [0, 1], **series_style(1))
        save_figure(figure, path)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert b"matplotlib" not in files[0].read_bytes().lower()
    save_figure(figure, tmp_path / "figure.pdf")


def test_a_figure_that_cannot_be_drawn_leaves_the_one_that_was_there(tmp_path: Path) -> None:
    figure, (axes,) = make_figure()
    save_figure(figure, tmp_path / "figure")
    before = (tmp_path / "figure.png").read_bytes()
    axes.set_title("$\\frac$")
    with pytest.raises(ValueError, match="frac"):
        save_figure(figure, tmp_path / "figure.png")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    assert (tmp_path / "figure.png").read_bytes() == before
