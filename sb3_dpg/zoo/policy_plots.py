"""``sb3-dpg plot-policy``: mu, V or Q of a saved model over two observation dimensions."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from gymnasium import spaces
from matplotlib.backend_bases import FigureCanvasBase
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import get_action_dim

from sb3_dpg.common.errors import ConfigurationError, Parser
from sb3_dpg.diagnostics.policy_maps import QUANTITIES, draw_maps, grid_observations, map_values
from sb3_dpg.zoo.options import check_algorithm
from sb3_dpg.zoo.registration import register_algorithms


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command."""
    parser = Parser(
        "sb3-dpg plot-policy",
        description="Draw mu(s), V(s) = Q(s, mu(s)) or Q(s, a) of a saved model over two dimensions of the observation, as "
        "the model gets it (normalised, if it was trained with VecNormalize).",
    )
    add = parser.add_argument
    add("model", type=Path, help="the saved model, a zip file")
    add("--algo", required=True, help="its algorithm, such as copdacq")
    add("--quantity", choices=QUANTITIES, nargs="+", default=["mu"], help="what to draw, one panel each (default: mu)")
    add("--dims", type=int, nargs=2, default=(0, 1), metavar=("X", "Y"), help="dimensions to draw over (default: 0 1)")
    angle = "where X is the cosine of an angle: the dimension of its sine; draws over the angle"
    add("--sine", type=int, metavar="DIM", help=angle)
    add("--labels", nargs=2, metavar=("X", "Y"), help="what to call the axes")
    add("--low", type=float, nargs=2, help="lower ends of the axes (default: the observation space's)")
    add("--high", type=float, nargs=2, help="upper ends of the axes")
    add("--at", type=float, nargs="+", help="the observation elsewhere, one number a dimension (default: 0)")
    add("--action", type=float, nargs="+", help="the action of Q, scaled to [-1, 1] (default: 0)")
    add("--action-dim", type=int, default=0, help="the component of mu to draw (default: %(default)s)")
    add("--resolution", type=int, default=101, help="points along each axis (default: %(default)s)")
    add("--figure", type=Path, default=Path("policy.png"), help="the picture to write (default: %(default)s)")
    return parser


def load(path: Path, algo: str) -> BaseAlgorithm:
    """A saved model; an error says if it is not there, or not of that algorithm."""
    algorithms = register_algorithms()
    check_algorithm("--algo", algo)
    if not path.is_file():
        raise ConfigurationError(f"there is no saved model {path} (a .zip file)")
    try:
        model = algorithms[algo].load(path, device="cpu")
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} is no model of {algo} ({error})") from error
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    for what, space in (("observations", model.observation_space), ("actions", model.action_space)):
        if not isinstance(space, spaces.Box) or (what == "observations" and len(space.shape) != 1):
            raise ConfigurationError(f"{what} must be vectors, those of this model are {space}")
    return model


def vector(name: str, values: Sequence[float] | None, size: int) -> np.ndarray:
    """The numbers of an option, None for zeros; an error if they are not so many."""
    if values is not None and len(values) != size:
        raise ConfigurationError(f"{name} has {len(values)} number(s), but needs {size}")
    return np.zeros(size, np.float32) if values is None else np.asarray(values, np.float32)


def check_index(option: str, index: int, what: str, size: int) -> None:
    """An error if there is no such dimension."""
    if not 0 <= index < size:
        raise ConfigurationError(f"{option} {index} is out of range: {what} have the dimensions 0 to {size - 1}")


def points(dim: int, bounds: tuple[float, float], given: tuple[float | None, float | None], resolution: int) -> np.ndarray:
    """The points along a dimension, (resolution,), between its bounds or what is given in their place."""
    low, high = (bound if end is None else end for bound, end in zip(bounds, given, strict=True))
    # The bounds of an unbounded space may also be the largest floats
    if not (np.isfinite([low, high]).all() and max(abs(low), abs(high)) < 1e30 and low < high):
        raise ConfigurationError(f"dimension {dim} reaches from {low:g} to {high:g}: give --low and --high")
    return np.linspace(low, high, resolution, dtype=np.float32)


def main(arguments: Sequence[str]) -> None:
    """``sb3-dpg plot-policy``, given the command line after it."""
    options = make_parser().parse_args(arguments)
    kinds = FigureCanvasBase.get_supported_filetypes()
    if options.figure.suffix.removeprefix(".").lower() not in kinds:
        raise ConfigurationError(f"--figure {options.figure}: the name must end in one of .{', .'.join(sorted(kinds))}")
    if options.resolution < 2:
        raise ConfigurationError(f"--resolution {options.resolution} is too small: it must be at least 2")
    model = load(options.model, options.algo)
    space, dims, sine = model.observation_space, options.dims, options.sine
    size, n_actions = space.shape[0], get_action_dim(model.action_space)
    for option, dim in (("--dims", dims[0]), ("--dims", dims[1]), ("--sine", 0 if sine is None else sine)):
        check_index(option, dim, "observations", size)
    if sine in dims or dims[0] == dims[1]:
        raise ConfigurationError("--dims and --sine must name different dimensions")
    check_index("--action-dim", options.action_dim, "actions", n_actions)
    action = vector("--action", options.action, n_actions)
    bounds = [(space.low[dim], space.high[dim]) for dim in dims]
    if sine is not None:
        bounds[0] = (-np.pi, np.pi)
    ends = zip(options.low or (None, None), options.high or (None, None), strict=True)
    x, y = (points(*axis, options.resolution) for axis in zip(dims, bounds, ends, strict=True))
    observations = grid_observations(x, y, dims, sine, vector("--at", options.at, size))
    panels = {}
    for quantity in options.quantity:
        title = QUANTITIES[quantity] + (", a = " + " ".join(f"{part:g}" for part in action) if quantity == "q" else "")
        try:
            values = map_values(model, observations, quantity, action, options.action_dim)
        except TypeError as error:
            raise ConfigurationError(f"--quantity {quantity}: {error}") from error
        panels[title] = values.reshape(y.size, x.size)
    first = f"observation {dims[0]}" if sine is None else f"angle of observations {dims[0]} and {sine}"
    draw_maps(x, y, panels, options.labels or (first, f"observation {dims[1]}"), options.algo, options.figure)
    print(f"Saved {options.figure}")
