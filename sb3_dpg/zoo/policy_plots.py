"""``sb3-dpg plot-policy``: mu, V or Q of a saved model over two observation dimensions."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.diagnostics.action_values import action_values, evaluation_mode, greedy_actions
from sb3_dpg.zoo.options import check_algorithm
from sb3_dpg.zoo.playback import register_for_playback

#: What can be drawn, with its label
QUANTITIES = {"mu": "mu(s)", "v": "V(s) = Q(s, mu(s))", "q": "Q(s, a)"}


def make_parser() -> argparse.ArgumentParser:
    """
    :return: The parser of the command
    """
    parser = argparse.ArgumentParser(
        "sb3-dpg plot-policy",
        description="Draw mu(s), V(s) = Q(s, mu(s)) or Q(s, a) of a saved model over two dimensions of the observation, as "
        "the model gets it (normalised, if it was trained with VecNormalize).",
    )
    parser.add_argument("model", type=Path, help="the saved model, a zip file")
    parser.add_argument("--algo", required=True, help="its algorithm, such as copdacq")
    parser.add_argument(
        "--quantity", choices=QUANTITIES, nargs="+", default=["mu"], help="what to draw, one panel each (default: mu)"
    )
    parser.add_argument(
        "--dims", type=int, nargs=2, default=(0, 1), metavar=("X", "Y"), help="dimensions to draw over (default: 0 1)"
    )
    parser.add_argument(
        "--sine",
        type=int,
        metavar="DIM",
        help="where X is the cosine of an angle: the dimension of its sine; draws over the angle",
    )
    parser.add_argument("--labels", nargs=2, metavar=("X", "Y"), help="what to call the axes")
    parser.add_argument("--low", type=float, nargs=2, help="lower ends of the axes (default: the observation space's)")
    parser.add_argument("--high", type=float, nargs=2, help="upper ends of the axes")
    parser.add_argument("--at", type=float, nargs="+", help="the observation elsewhere, one number a dimension (default: 0)")
    parser.add_argument("--action", type=float, nargs="+", help="the action of Q, scaled to [-1, 1] (default: 0)")
    parser.add_argument("--action-dim", type=int, default=0, help="the component of mu to draw (default: %(default)s)")
    parser.add_argument("--resolution", type=int, default=101, help="points along each axis (default: %(default)s)")
    parser.add_argument("--figure", type=Path, default=Path("policy.png"), help="the picture to write (default: %(default)s)")
    return parser


def load(path: Path, algo: str) -> OffPolicyAlgorithm:
    """
    :param path: The saved model
    :param algo: Name of its algorithm
    :return: The model; those of our algorithms without a replay buffer
    :raises ConfigurationError: if one of them is not there, or not of the other
    """
    register_for_playback()
    from rl_zoo3.utils import ALGOS

    check_algorithm("--algo", algo)
    if not path.is_file():
        raise ConfigurationError(f"there is no saved model {path} (a .zip file)")
    try:
        return ALGOS[algo].load(path, device="cpu")
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} is no model of {algo} ({error})") from error
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def vector(name: str, values: Sequence[float] | None, size: int) -> np.ndarray:
    """
    :param name: Name of the option, for the error
    :param values: Its numbers, None for zeros
    :param size: How many are needed
    :return: The numbers, (size,)
    :raises ConfigurationError: if there are not so many
    """
    if values is not None and len(values) != size:
        raise ConfigurationError(f"{name} has {len(values)} number(s), but needs {size}")
    return np.zeros(size, np.float32) if values is None else np.asarray(values, np.float32)


def axes(options: argparse.Namespace, space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """
    :param options: The options
    :param space: The observation space
    :return: The points along each axis, (resolution,)
    :raises ConfigurationError: if a dimension is not there, is named twice, or has no finite bounds
    """
    if len(space.shape) != 1:
        raise ConfigurationError(f"observations must be vectors, those of this model have shape {space.shape}")
    if options.resolution < 2:
        raise ConfigurationError(f"--resolution {options.resolution} is too small: it must be at least 2")
    named = {"--dims": options.dims, "--sine": [] if options.sine is None else [options.sine]}
    for option, dim in ((option, dim) for option, dims in named.items() for dim in dims):
        if not 0 <= dim < space.shape[0]:
            raise ConfigurationError(
                f"{option} {dim} is out of range: observations have the dimensions 0 to {space.shape[0] - 1}"
            )
    if options.sine in options.dims or options.dims[0] == options.dims[1]:
        raise ConfigurationError("--dims and --sine must name different dimensions")
    return points(options, space, 0), points(options, space, 1)


def points(options: argparse.Namespace, space: spaces.Box, index: int) -> np.ndarray:
    """
    :param options: The options
    :param space: The observation space
    :param index: 0 for the horizontal axis, 1 for the vertical one
    :return: The points along it, (resolution,)
    :raises ConfigurationError: if it has no finite bounds
    """
    dim = options.dims[index]
    is_angle = index == 0 and options.sine is not None
    low, high = (-np.pi, np.pi) if is_angle else (space.low[dim], space.high[dim])
    low = low if options.low is None else options.low[index]
    high = high if options.high is None else options.high[index]
    # The bounds of an unbounded space may also be the largest floats
    if not (np.isfinite([low, high]).all() and max(abs(low), abs(high)) < 1e30 and low < high):
        raise ConfigurationError(f"dimension {dim} reaches from {low:g} to {high:g}: give --low and --high")
    return np.linspace(low, high, options.resolution, dtype=np.float32)


def observe(x: np.ndarray, y: np.ndarray, options: argparse.Namespace, size: int) -> np.ndarray:
    """
    :param x: Points of the horizontal axis
    :param y: Points of the vertical axis
    :param options: The options
    :param size: Dimension of the observation
    :return: The observations, (len(y) * len(x), size): rows of the picture are y
    """
    observations = np.tile(vector("--at", options.at, size), (x.size * y.size, 1))
    horizontal, vertical = (grid.ravel() for grid in np.meshgrid(x, y))
    observations[:, options.dims[0]] = horizontal if options.sine is None else np.cos(horizontal)
    if options.sine is not None:
        observations[:, options.sine] = np.sin(horizontal)
    observations[:, options.dims[1]] = vertical
    return observations


def evaluate(model: OffPolicyAlgorithm, observations: np.ndarray, quantity: str, options: argparse.Namespace) -> np.ndarray:
    """
    :param model: The model
    :param observations: Observations, (n, observation_dim)
    :param quantity: One of ``QUANTITIES``
    :param options: The options: what the quantity needs
    :return: The quantity, mu in units of the environment, (n,)
    """
    if not isinstance(model.action_space, spaces.Box):
        raise ConfigurationError(f"actions must be vectors, those of this model are {model.action_space}")
    size = int(np.prod(model.action_space.shape))
    if quantity == "mu":
        if not 0 <= options.action_dim < size:
            raise ConfigurationError(f"--action-dim {options.action_dim} is out of range: actions have {size} dimension(s)")
        return model.predict(observations, deterministic=True)[0].reshape(len(observations), -1)[:, options.action_dim]
    try:
        values = action_values(model)
    except TypeError as error:
        raise ConfigurationError(f"--quantity {quantity}: {error}") from error
    with evaluation_mode(model), th.no_grad():
        inputs, _ = model.policy.obs_to_tensor(observations)
        actions = greedy_actions(model, inputs)
        if quantity == "q":
            actions = th.from_numpy(vector("--action", options.action, size)).expand_as(actions)
        return values(inputs, actions)[:, 0].numpy()


def check_figure(path: Path) -> None:
    """
    :param path: The picture to write
    :raises ConfigurationError: if matplotlib does not write pictures of that kind
    """
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in kinds:
        raise ConfigurationError(f"--figure {path}: the name must end in one of .{', .'.join(sorted(kinds))}")


def main(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg plot-policy``
    """
    options = make_parser().parse_args(arguments)
    check_figure(options.figure)
    model = load(options.model, options.algo)
    space = model.observation_space
    if not isinstance(space, spaces.Box):
        raise ConfigurationError(f"observations must be vectors, those of this model are {space}")
    x, y = axes(options, space)
    observations = observe(x, y, options, space.shape[0])
    pictures = {
        quantity: evaluate(model, observations, quantity, options).reshape(y.size, x.size) for quantity in options.quantity
    }
    draw(x, y, pictures, options)
    print(f"Saved {options.figure}")


def draw(x: np.ndarray, y: np.ndarray, pictures: Mapping[str, np.ndarray], options: argparse.Namespace) -> None:
    """
    :param x: Points of the horizontal axis
    :param y: Points of the vertical axis
    :param pictures: The quantities by name, each (len(y), len(x))
    :param options: The options: labels, and where to save
    """
    from matplotlib.figure import Figure

    first = f"angle of observations {options.dims[0]} and {options.sine}" if options.sine is not None else None
    labels = options.labels or (first or f"observation {options.dims[0]}", f"observation {options.dims[1]}")
    figure = Figure(figsize=(4.2 * len(pictures) + 0.8, 3.6), layout="constrained")
    figure.suptitle(options.algo)
    for axis, (quantity, values) in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures.items(), strict=True):
        # Actions have a middle, and so have their colours
        end = np.abs(values).max() if quantity == "mu" else None
        limits = {} if end is None else {"vmin": -end, "vmax": end}
        mesh = axis.pcolormesh(x, y, values, shading="nearest", cmap="viridis" if end is None else "PuOr", **limits)
        figure.colorbar(mesh, ax=axis)
        title = QUANTITIES[quantity]
        if quantity == "q":
            title += ", a = " + " ".join(f"{component:g}" for component in options.action or [0.0])
        axis.set(xlabel=labels[0], ylabel=labels[1], title=title)
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=110)
