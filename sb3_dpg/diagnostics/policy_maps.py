"""What a policy does and what its critic says, over two dimensions of the observation, for any SB3 algorithm."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_dpg.common.plotting import make_figure, save_figure
from sb3_dpg.diagnostics.critics import action_values, evaluation_mode

#: What can be drawn, with its label
QUANTITIES = {"mu": "mu(s)", "v": "V(s) = Q(s, mu(s))", "q": "Q(s, a)"}


def grid_observations(
    x: np.ndarray, y: np.ndarray, dims: Sequence[int], sine: int | None, elsewhere: np.ndarray
) -> np.ndarray:
    """
    :param x: Points of the horizontal axis
    :param y: Points of the vertical axis
    :param dims: Their dimensions
    :param sine: Dimension of the sine, where x is an angle and its dimension the cosine
    :param elsewhere: The observation in all other dimensions, (observation_dim,)
    :return: The observations, (len(y) * len(x), observation_dim): rows of the picture are y
    """
    observations = np.tile(elsewhere, (x.size * y.size, 1))
    horizontal, vertical = (grid.ravel() for grid in np.meshgrid(x, y))
    observations[:, dims[0]] = horizontal if sine is None else np.cos(horizontal)
    if sine is not None:
        observations[:, sine] = np.sin(horizontal)
    observations[:, dims[1]] = vertical
    return observations


def map_values(
    model: BaseAlgorithm, observations: np.ndarray, quantity: str, action: np.ndarray, action_dim: int
) -> np.ndarray:
    """
    :param model: The model
    :param observations: Observations, (n, observation_dim)
    :param quantity: One of ``QUANTITIES``
    :param action: The action of Q, scaled to [-1, 1], (action_dim,)
    :param action_dim: Which component of mu
    :return: The quantity, mu in units of the environment, (n,)
    :raises TypeError: if the model has no critic of actions
    """
    if quantity == "mu":
        return model.predict(observations, deterministic=True)[0].reshape(len(observations), -1)[:, action_dim]
    values = action_values(model)
    with evaluation_mode(model), th.no_grad():
        inputs, _ = model.policy.obs_to_tensor(observations)
        # Of the mu that is drawn, which may be an average of the actor
        actions = model.policy._predict(inputs, deterministic=True).flatten(1)
        if quantity == "q":
            actions = th.from_numpy(action).to(actions).expand_as(actions)
        return values(inputs, actions)[:, 0].cpu().numpy()


def draw_maps(
    x: np.ndarray, y: np.ndarray, panels: Mapping[str, np.ndarray], labels: Sequence[str], title: str, path: Path
) -> None:
    """
    :param x: Points of the horizontal axis
    :param y: Points of the vertical axis
    :param panels: What to draw by its title, each (len(y), len(x))
    :param labels: What to call the axes
    :param title: Title of the figure
    :param path: Where to save it
    """
    figure, all_axes = make_figure(len(panels), panel_size=(4.5, 3.6))
    figure.suptitle(title)
    for axes, (name, values) in zip(all_axes, panels.items(), strict=True):
        # Actions have a middle, and so have their colours
        end = np.abs(values).max() if name == QUANTITIES["mu"] else None
        limits = {} if end is None else {"vmin": -end, "vmax": end}
        mesh = axes.pcolormesh(x, y, values, shading="nearest", cmap="viridis" if end is None else "PuOr", **limits)
        figure.colorbar(mesh, ax=axes)
        axes.set(xlabel=labels[0], ylabel=labels[1], title=name)
    save_figure(figure, path, dpi=110)
