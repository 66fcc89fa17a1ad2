"""One look for all figures of the package, without pyplot: no window is opened, no figure is kept."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_dpg.common.save_util import completed, durable_replacement

#: Okabe and Ito's colours, which the colour-blind tell apart
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: What tells apart those of the same colour
MARKERS = (".", "x", "^", "s", "+", "d")
LINE_STYLES = ("-", "--", "-.", ":")


def series_style(index: int) -> dict[str, Any]:
    """Colour and marker of a series, keyword arguments of ``Axes.plot``; those of the first 42 differ."""
    return {"color": COLORS[index % len(COLORS)], "marker": MARKERS[index // len(COLORS) % len(MARKERS)]}


def make_figure(
    n_panels: int = 1, n_columns: int = 3, panel_size: tuple[float, float] = (5.0, 3.6)
) -> tuple[Figure, list[Axes]]:
    """
    :param n_panels: Number of panels
    :param n_columns: The most panels in a row
    :param panel_size: Width and height of a panel, in inches
    :return: A figure with so many panels, and these
    """
    n_columns = min(n_panels, n_columns)
    n_rows = -(-n_panels // n_columns)
    figure = Figure(figsize=(panel_size[0] * n_columns, panel_size[1] * n_rows), layout="constrained")
    return figure, [figure.add_subplot(n_rows, n_columns, index + 1) for index in range(n_panels)]


def save_figure(figure: Figure, path: Path, dpi: int = 100) -> None:
    """
    :param figure: A figure
    :param path: Where to write it, in a folder that is made if need be; without matplotlib's version in it, so that the same
        figure is the same file
    :param dpi: Dots per inch
    """
    metadata = {"Software": None} if path.suffix == ".png" else None
    with durable_replacement(completed(path, "png")) as file:
        figure.savefig(file, format=path.suffix[1:] or "png", dpi=dpi, metadata=metadata)
