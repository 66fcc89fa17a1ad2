"""
Figures as files: a backend of matplotlib without windows (``module://sb3_dpg.zoo.figures``), and saving all that is open.

rl-zoo3 names most figures by the titles of their windows alone, which Agg forgets before matplotlib 3.11.
"""

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

BACKEND = f"module://{__name__}"


class FigureManager(FigureManagerBase):
    """The manager of a figure without a window, which remembers what the title of its window would be."""

    def set_window_title(self, title: str) -> None:
        """
        :param title: The title
        """
        self._title = title

    def get_window_title(self) -> str:
        """
        :return: The last title set; matplotlib's ``Figure 1`` and so on, if none was
        """
        return self._title


class FigureCanvas(FigureCanvasAgg):
    """A canvas of pixels with a manager that knows its title."""

    manager_class = FigureManager


def save_figures(folder: Path) -> None:
    """
    Save all open figures of this backend as PNG files named by their titles, and close them.

    :param folder: Where to; made if it is missing
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    for number in plt.get_fignums():
        figure = plt.figure(number)
        manager = figure.canvas.manager
        assert manager is not None, "figures of pyplot have managers"
        title = str(figure.get_label()) or manager.get_window_title()
        name = title.replace(" ", "_").replace("/", "_")
        names.append(name if name not in names else f"{name}_{number}")
        path = folder / f"{names[-1]}.png"
        figure.savefig(path, dpi=150, bbox_inches="tight")
        plt.close(figure)
        print(f"Saved {path}")
