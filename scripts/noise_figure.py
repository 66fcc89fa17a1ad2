"""The picture of docs/noise.md: ``python -m scripts.noise_figure docs/images/noise.png``."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from stable_baselines3.common.noise import ActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.type_aliases import Schedule

from sb3_dpg.common.noise import GaussianNoise, OrnsteinUhlenbeckNoise
from sb3_dpg.common.plotting import COLORS, make_figure, save_figure
from sb3_dpg.common.schedules import CosineAnnealing, ExponentialAnnealing, LinearAnnealing, PiecewiseLinear

SEED = 0
N_STEPS = 200


def draw_paths(axes: Axes) -> None:
    """
    Three processes of the same step size rule, sigma = 0.2 each, over one episode.

    :param axes: Where to draw
    """
    np.random.seed(SEED)  # SB3's noise draws from NumPy's global generator
    noises: dict[str, ActionNoise] = {
        "Gaussian, sigma = 0.2": GaussianNoise(0.0, 0.2, seed=SEED),
        "Ornstein-Uhlenbeck, dt = 1 (paper, ours)": OrnsteinUhlenbeckNoise(0.0, 0.2, seed=SEED),
        "Ornstein-Uhlenbeck, dt = 0.01 (SB3's default)": OrnsteinUhlenbeckActionNoise(np.zeros(1), 0.2 * np.ones(1)),
    }
    for (name, noise), color, width in zip(noises.items(), ("0.75", COLORS[0], COLORS[1]), (0.8, 1.4, 1.8), strict=True):
        axes.plot([noise().item() for _ in range(N_STEPS)], color=color, linewidth=width, label=name)
    std = OrnsteinUhlenbeckNoise(0.0, 0.2).std.item()
    axes.axhspan(-std, std, color=COLORS[0], alpha=0.1, linewidth=0, label="stationary standard deviation of both, ±0.365")
    axes.set(title="One episode, sigma = 0.2, theta = 0.15", xlabel="step", ylabel="noise", xlim=(0, N_STEPS))
    axes.set_ylim(-1.1, 1.75)
    axes.legend(loc="upper right", fontsize=8)


def draw_starts(axes: Axes) -> None:
    """
    How far the noise reaches in the first steps of an episode: standard deviation over many episodes.

    :param axes: Where to draw
    """
    n_envs, steps = 5000, np.arange(1, 31)
    for initial, color in (("stationary", COLORS[0]), ("zero", COLORS[2])):
        noise = OrnsteinUhlenbeckNoise([0.0], 0.2, n_envs=n_envs, initial=initial, seed=SEED)
        axes.plot(steps, [noise().std() for _ in steps], color=color, label=f"dt = 1, initial = {initial!r}")
    np.random.seed(SEED)
    slow = OrnsteinUhlenbeckActionNoise(np.zeros(n_envs), 0.2 * np.ones(n_envs))
    axes.plot(steps, [slow().std() for _ in steps], color=COLORS[1], label="dt = 0.01 (SB3's default)")
    axes.set(title="First steps of an episode", xlabel="step", ylabel="standard deviation", xlim=(1, 30), ylim=(0, 0.55))
    axes.legend(loc="upper right", fontsize=8)


def draw_schedules(axes: Axes) -> None:
    """
    The schedules from 0.5 to 0.05.

    :param axes: Where to draw
    """
    schedules: dict[str, Schedule] = {
        "lin_0.5_0.05": LinearAnnealing(0.5, 0.05),
        "exp_0.5_0.05": ExponentialAnnealing(0.5, 0.05),
        "cos_0.5_0.05": CosineAnnealing(0.5, 0.05),
        "lin_0.5_0.05_0.6": LinearAnnealing(0.5, 0.05, 0.6),
        "piecewise": PiecewiseLinear([(0.0, 0.5), (0.25, 0.5), (0.25, 0.3), (0.75, 0.3), (1.0, 0.05)]),
    }
    done = np.linspace(0.0, 1.0, 1001)
    for (name, schedule), color in zip(schedules.items(), COLORS, strict=False):
        axes.plot(done, [schedule(1.0 - x) for x in done], color=color, label=name)
    axes.set(title="Schedules", xlabel="fraction of training done", ylabel="value", xlim=(0, 1), ylim=(0, 0.7))
    axes.legend(loc="upper right", fontsize=8, ncols=2)


def draw_annealed_path(axes: Axes) -> None:
    """
    A path whose sigma falls, with the band of its stationary standard deviation.

    :param axes: Where to draw
    """
    n_steps = 2000
    noise = OrnsteinUhlenbeckNoise(0.0, "lin_0.5_0.05", initial="stationary", seed=SEED)
    path, std = np.empty(n_steps), np.empty(n_steps)
    for step in range(n_steps):
        noise.update(1.0 - step / n_steps)
        path[step], std[step] = noise().item(), noise.std.item()
    done = np.arange(n_steps) / n_steps
    axes.plot(done, path, linewidth=0.6, color=COLORS[0])
    axes.fill_between(
        done, -2 * std, 2 * std, color=COLORS[0], alpha=0.15, linewidth=0, label="± 2 stationary standard deviations"
    )
    axes.set(title="sigma: lin_0.5_0.05", xlabel="fraction of training done", ylabel="noise", xlim=(0, 1))
    axes.legend(loc="upper right", fontsize=8)


def main(path: Path) -> None:
    """
    :param path: Where to save the picture
    """
    figure, panels = make_figure(4, n_columns=2, panel_size=(5.5, 3.75))
    for draw, axes in zip((draw_paths, draw_starts, draw_schedules, draw_annealed_path), panels, strict=True):
        draw(axes)
    save_figure(figure, path, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m scripts.noise_figure PATH.png")
    main(Path(sys.argv[1]))
