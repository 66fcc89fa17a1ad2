"""The pictures of docs/noise.md: ``python -m scripts.noise_figure docs/images``."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from stable_baselines3.common.noise import ActionNoise, OrnsteinUhlenbeckActionNoise

from sb3_dpg.bnddpg.bnddpg import DEFAULT_ACTION_NOISE
from sb3_dpg.common.noise import GaussianNoise, OrnsteinUhlenbeckNoise, SummedNoise, make_noise
from sb3_dpg.common.plotting import COLORS, make_figure, save_figure
from sb3_dpg.common.schedules import parse_schedule

SEED = 0
N_STEPS = 100
# BNDDPG's default, and its size at the beginning
FADING, THETA = DEFAULT_ACTION_NOISE["std"], DEFAULT_ACTION_NOISE["theta"]
STD = parse_schedule(FADING)(1.0)


def white_and_correlated(n_envs: int) -> dict[str, tuple[ActionNoise, str]]:
    """Noise of one size with two time scales, and the colour of each."""
    return {
        "white": (GaussianNoise([0.0], STD, n_envs=n_envs, seed=SEED), "0.55"),
        "Ornstein-Uhlenbeck": (
            OrnsteinUhlenbeckNoise.from_stationary([STD], THETA, n_envs=n_envs, initial="stationary", seed=SEED),
            COLORS[0],
        ),
    }


def draw_paths(axes: Axes) -> None:
    """
    White and Ornstein-Uhlenbeck noise of the same standard deviation.

    :param axes: Where to draw
    """
    for name, (noise, color) in white_and_correlated(1).items():
        axes.plot([noise().item() for _ in range(N_STEPS)], color=color, label=name)
    axes.set(title=f"The noise, std = {STD}", xlabel="step", ylabel="action", xlim=(0, N_STEPS), ylim=(-2, 2.7))
    axes.legend(loc="upper right", ncols=2)


def draw_sums(axes: Axes) -> None:
    """
    How far the noise gets where the system adds it up: some paths, and the standard deviation over many.

    :param axes: Where to draw
    """
    for name, (noise, color) in white_and_correlated(2000).items():
        sums = np.cumsum([noise().ravel() for _ in range(N_STEPS)], axis=0)
        axes.plot(sums[:, :5], color=color, linewidth=0.8, alpha=0.8)
        std = sums.std(axis=1)
        axes.fill_between(range(N_STEPS), -std, std, color=color, alpha=0.25, linewidth=0, label=f"{name}: ± std")
    axes.set(title="Its sum", xlabel="step", ylabel="sum of the actions", xlim=(0, N_STEPS))
    axes.legend(loc="upper left")


def draw_held(axes: Axes) -> None:
    """
    The default's noise at its beginning, where offsets are held.

    :param axes: Where to draw
    """
    n_steps = 800
    noise = make_noise(DEFAULT_ACTION_NOISE, 1)
    assert isinstance(noise, SummedNoise)
    noise.seed(SEED)
    correlated, held = np.array([[part().item() for part in noise.noises] for _ in range(n_steps)]).T
    axes.plot(correlated + held, linewidth=0.6, color=COLORS[0], label="the sum")
    axes.plot(held, color=COLORS[1], label="held offsets")
    axes.set(title="The default at its start", xlabel="step", ylabel="noise", xlim=(0, n_steps), ylim=(-2, 2.7))
    axes.legend(loc="upper right", ncols=2)


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
    axes.legend(loc="upper right")


def draw_annealed_path(axes: Axes) -> None:
    """
    A path that fades, with the band of its stationary standard deviation.

    :param axes: Where to draw
    """
    n_steps = 2000
    noise = OrnsteinUhlenbeckNoise.from_stationary(FADING, THETA, initial="stationary", seed=SEED)
    path, std = np.empty(n_steps), np.empty(n_steps)
    for step in range(n_steps):
        noise.update(1.0 - step / n_steps)
        path[step], std[step] = noise().item(), noise.std.item()
    done = np.arange(n_steps) / n_steps
    axes.plot(done, path, linewidth=0.6, color=COLORS[0])
    axes.fill_between(done, -2 * std, 2 * std, color=COLORS[0], alpha=0.15, linewidth=0, label="± 2 std")
    axes.set(title=f"std: {FADING}", xlabel="fraction of training done", ylabel="noise", xlim=(0, 1))
    axes.legend(loc="upper right")


def main(folder: Path) -> None:
    """
    :param folder: Where to save the pictures
    """
    for name, draws in {
        "explore": (draw_paths, draw_sums, draw_held),
        "parameters": (draw_annealed_path, draw_starts),
    }.items():
        figure, panels = make_figure(len(draws), panel_size=(4.2, 3.2))
        for draw, axes in zip(draws, panels, strict=True):
            draw(axes)
        save_figure(figure, folder / f"noise_{name}.png", dpi=120)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m scripts.noise_figure FOLDER")
    main(Path(sys.argv[1]))
