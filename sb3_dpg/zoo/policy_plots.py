"""``sb3-dpg plot-policy``: mu, V or Q of a saved model over two observation dimensions."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg.diagnostics.action_values import action_values, evaluation_mode, greedy_actions
from sb3_dpg.zoo.errors import ConfigurationError
from sb3_dpg.zoo.playback import register_for_playback

QUANTITIES = ("mu", "v", "q")


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
    parser.add_argument("--quantity", choices=QUANTITIES, default="mu")
    parser.add_argument("--dims", type=int, nargs=2, default=(0, 1), metavar=("X", "Y"), help="dimensions to draw over")
    parser.add_argument("--low", type=float, nargs=2, help="lower ends of the axes (default: the observation space's)")
    parser.add_argument("--high", type=float, nargs=2, help="upper ends of the axes")
    parser.add_argument("--at", type=float, nargs="+", help="the observation elsewhere, one number a dimension (default: 0)")
    parser.add_argument("--action", type=float, nargs="+", help="the action of Q, scaled to [-1, 1] (default: 0)")
    parser.add_argument("--action-dim", type=int, default=0, help="the component of mu to draw")
    parser.add_argument("--resolution", type=int, default=101, help="points along each axis")
    parser.add_argument("--figure", type=Path, default=Path("policy.png"), help="the picture to write")
    return parser


def load(path: Path, algo: str) -> OffPolicyAlgorithm:
    """
    :param path: The saved model
    :param algo: Name of its algorithm
    :return: The model, without a replay buffer
    :raises ConfigurationError: if one of them is not there
    """
    register_for_playback()
    from rl_zoo3.utils import ALGOS

    if algo not in ALGOS:
        raise ConfigurationError(f"--algo {algo!r} is unknown: it must be one of {', '.join(ALGOS)}")
    if not path.exists():
        raise ConfigurationError(f"there is no saved model {path}")
    return ALGOS[algo].load(path, device="cpu")


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
    :raises ConfigurationError: if a dimension is not there or has no finite bounds
    """
    if len(space.shape) != 1:
        raise ConfigurationError(f"observations must be vectors, those of this model have shape {space.shape}")
    if options.resolution < 2:
        raise ConfigurationError(f"--resolution {options.resolution} is too small: it must be at least 2")
    points = []
    for index, dim in enumerate(options.dims):
        if not 0 <= dim < space.shape[0]:
            raise ConfigurationError(
                f"--dims {dim} is out of range: observations have the dimensions 0 to {space.shape[0] - 1}"
            )
        low = space.low[dim] if options.low is None else options.low[index]
        high = space.high[dim] if options.high is None else options.high[index]
        # The bounds of an unbounded space may also be the largest floats
        if not (np.isfinite([low, high]).all() and max(abs(low), abs(high)) < 1e30 and low < high):
            raise ConfigurationError(f"dimension {dim} reaches from {low:g} to {high:g}: give --low and --high")
        points.append(np.linspace(low, high, options.resolution, dtype=np.float32))
    return points[0], points[1]


def evaluate(model: OffPolicyAlgorithm, observations: np.ndarray, options: argparse.Namespace) -> np.ndarray:
    """
    :param model: The model
    :param observations: Observations, (n, observation_dim)
    :param options: The options: the quantity and what it needs
    :return: The quantity, mu in units of the environment, (n,)
    """
    assert isinstance(model.action_space, spaces.Box)
    size = int(np.prod(model.action_space.shape))
    if options.quantity == "mu":
        if not 0 <= options.action_dim < size:
            raise ConfigurationError(f"--action-dim {options.action_dim} is out of range: actions have {size} dimension(s)")
        return model.predict(observations, deterministic=True)[0].reshape(len(observations), -1)[:, options.action_dim]
    with evaluation_mode(model), th.no_grad():
        inputs, _ = model.policy.obs_to_tensor(observations)
        actions = greedy_actions(model, inputs)
        if options.quantity == "q":
            actions = th.from_numpy(vector("--action", options.action, size)).expand_as(actions)
        return action_values(model)(inputs, actions)[:, 0].numpy()


def main(arguments: Sequence[str]) -> None:
    """
    :param arguments: The command line after ``sb3-dpg plot-policy``
    """
    options = make_parser().parse_args(arguments)
    model = load(options.model, options.algo)
    space = model.observation_space
    if not isinstance(space, spaces.Box):
        raise ConfigurationError(f"observations must be vectors, those of this model are {space}")
    x, y = axes(options, space)
    observations = np.tile(vector("--at", options.at, space.shape[0]), (x.size * y.size, 1))
    # Rows of the picture are y
    for dim, grid in zip(options.dims, np.meshgrid(x, y), strict=True):
        observations[:, dim] = grid.ravel()
    draw(x, y, evaluate(model, observations, options).reshape(y.size, x.size), options)
    print(f"Saved {options.figure}")


def draw(x: np.ndarray, y: np.ndarray, values: np.ndarray, options: Any) -> None:
    """
    :param x: Points of the horizontal axis
    :param y: Points of the vertical axis
    :param values: The quantity, (len(y), len(x))
    :param options: The options: labels, and where to save
    """
    from matplotlib.figure import Figure

    label = {"mu": "mu(s)", "v": "V(s) = Q(s, mu(s))", "q": "Q(s, a)"}[options.quantity]
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axis = figure.add_subplot()
    mesh = axis.pcolormesh(x, y, values, shading="nearest", cmap="RdBu_r" if options.quantity == "mu" else "viridis")
    figure.colorbar(mesh, label=label)
    axis.set(
        xlabel=f"observation {options.dims[0]}", ylabel=f"observation {options.dims[1]}", title=f"{options.algo}: {label}"
    )
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=150)
