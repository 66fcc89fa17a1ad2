"""
Trainings that fail, each beside one that does not: the pictures of docs/studies/failing_trainings.md.

    python -m scripts.failing_trainings saturation --folder docs/images
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pandas as pd
import torch as th
from matplotlib.axes import Axes
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg import BNDDPG, COPDACQ
from sb3_dpg.common.plotting import make_figure, save_figure
from sb3_dpg.diagnostics import DiagnosticsCallback, ValueEstimateCallback, greedy_gap
from sb3_dpg.diagnostics.plots import (
    PANEL_SIZE,
    draw_greedy_actions,
    draw_quantity,
    draw_value_estimates,
    name_runs,
    read_progress,
)

# In place of plain DDPG's networks
NORMALISED = {"batch_norm": True}


class Training(NamedTuple):
    """
    A training that is done.

    :param model: The model
    :param progress: What was logged
    :param values: The callback that compared its values with returns
    """

    model: OffPolicyAlgorithm
    progress: pd.DataFrame
    values: ValueEstimateCallback


def ddpg(env: gym.Env, arguments: Mapping[str, Any]) -> BNDDPG:
    """
    :param env: The environment
    :param arguments: What is not as usual here
    :return: DDPG with small networks, without batch normalisation where the arguments do not say otherwise
    """
    usual: dict[str, Any] = dict(
        batch_size=64,
        learning_starts=500,
        buffer_size=20_000,
        action_noise={"type": "normal", "sigma": 0.1},
        policy_kwargs={"net_arch": [64, 64]},
        device="cpu",
    )
    return BNDDPG("MlpPolicy", env, **BNDDPG.ddpg_kwargs(**{**usual, **arguments}))


def copdacq(env: gym.Env, arguments: Mapping[str, Any]) -> COPDACQ:
    """
    :param env: The environment
    :param arguments: What is not as usual here
    :return: COPDACQ
    """
    return COPDACQ("LinearPolicy", env, **arguments)


def pendulum() -> gym.Env:
    """
    :return: The pendulum
    """
    return gym.make("Pendulum-v1")


def mountain_car() -> gym.Env:
    """
    :return: The mountain car
    """
    return gym.make("MountainCarContinuous-v0")


def huge_observations() -> gym.Env:
    """
    :return: The pendulum with observations in other units, a thousand times as large
    """
    env = pendulum()
    assert isinstance(env.observation_space, gym.spaces.Box)
    space = gym.spaces.Box(1000 * env.observation_space.low, 1000 * env.observation_space.high)
    return gym.wrappers.TransformObservation(env, lambda observation: 1000 * observation, space)


def seeded(env: Callable[[], gym.Env], seed: int) -> gym.Env:
    """
    :param env: Makes an environment
    :param seed: Of its initial states, from its first reset on
    :return: Such an environment to evaluate in
    """
    monitored = Monitor(env())
    monitored.reset(seed=seed)
    return monitored


def value_pairs(axes: Axes, training: Training) -> None:
    """
    :param axes: Where to draw
    :param training: The training whose last evaluation to draw
    """
    draw_value_estimates(axes, *training.values.pairs)


def best_actions(axes: Axes, training: Training) -> None:
    """
    :param axes: Where to draw
    :param training: The training whose actor to compare with its critic, at states from its replay buffer
    """
    buffer = training.model.replay_buffer
    assert buffer is not None
    newest = buffer.observations[: buffer.size()][-200:, 0]
    draw_greedy_actions(axes, greedy_gap(training.model, newest))


@dataclass(frozen=True)
class Case:
    """
    A training that fails and one that does not.

    :param fails: What sets the failing one apart: arguments of the algorithm
    :param works: The same of the other one
    :param panels: What the picture shows, names of ``plots.QUANTITIES``
    :param steps: Steps of each training
    :param make: Makes the model
    :param env: Makes the environment
    :param last_panel: Draws a further panel for the failing training, None for none
    """

    fails: Mapping[str, Any]
    works: Mapping[str, Any]
    panels: Sequence[str]
    steps: int = 6000
    make: Callable[[gym.Env, Mapping[str, Any]], OffPolicyAlgorithm] = ddpg
    env: Callable[[], gym.Env] = pendulum
    last_panel: Callable[[Axes, Training], None] | None = None


def noise(std: float) -> dict[str, Any]:
    """
    :param std: Its standard deviation
    :return: Correlated noise, as mountain car needs it
    """
    return {"action_noise": {"type": "autoregressive", "lambda": 0.95, "std": std}}


CASES = {
    "saturation": Case(
        fails={"actor_learning_rate": 0.03}, works={}, panels=("return", "saturation", "action_gradient", "actor_gradient")
    ),
    "overestimation": Case(fails={"tau": 1e-5}, works={}, panels=("return", "values", "q_mean"), last_panel=value_pairs),
    "no_targets": Case(fails={"tau": 1.0}, works={}, panels=("return", "values", "critic_gradient"), last_panel=value_pairs),
    "greedy_gap": Case(
        fails={"actor_learning_rate": 1e-6},
        works={},
        panels=("return", "greedy_gap", "actor_gradient"),
        last_panel=best_actions,
    ),
    "drift": Case(
        fails={**NORMALISED, "policy_kwargs": {"net_arch": [64, 64], "batch_norm_momentum": 1e-5}},
        works=NORMALISED,
        panels=("return", "batch_norm_drift", "values", "greedy_gap"),
    ),
    "blind_critic": Case(
        fails={},
        works=NORMALISED,
        panels=("return", "action_gradient", "greedy_gap", "saturation"),
        env=huge_observations,
    ),
    "noise": Case(
        fails=noise(0.1),
        works=noise(1.0),
        panels=("return", "noise", "action_gradient", "values"),
        steps=40_000,
        make=copdacq,
        env=mountain_car,
    ),
}


def train(case: Case, arguments: Mapping[str, Any], seed: int, steps: int) -> Training:
    """
    :param case: The case
    :param arguments: Those of one of its trainings
    :param seed: The seed
    :param steps: Number of steps
    :return: The training, with twelve evaluations
    """
    model = case.make(case.env(), {**arguments, "seed": seed})
    frequency = max(1, steps // 12)
    values = ValueEstimateCallback(seeded(case.env, seed + 1), frequency, n_episodes=3)
    # It dumps the log, and so comes last
    evaluation = EvalCallback(seeded(case.env, seed + 2), eval_freq=frequency, n_eval_episodes=3, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        model.set_logger(configure(folder, ["csv"]))
        model.learn(steps, callback=[DiagnosticsCallback(frequency), values, evaluation])
        model.logger.close()
        return Training(model, read_progress(folder), values)


def label(arguments: Mapping[str, Any]) -> str:
    """
    :param arguments: What sets a training apart
    :return: The same for the legend
    """
    if "action_noise" in arguments:
        return f"std={arguments['action_noise']['std']}"
    if "policy_kwargs" in arguments:
        return f"batch_norm_momentum={arguments['policy_kwargs']['batch_norm_momentum']}"
    return ", ".join(f"{name}={value}" for name, value in arguments.items()) or "as usual"


def run(name: str, folder: Path, seed: int, steps: int | None = None) -> None:
    """
    Train both trainings of a case, draw them, and print what they end with.

    :param name: Name of the case
    :param folder: Where the picture goes
    :param seed: Seed of both
    :param steps: Number of steps, None: the case's
    """
    case = CASES[name]
    steps = case.steps if steps is None else steps
    trainings = {label(arguments): train(case, arguments, seed, steps) for arguments in (case.fails, case.works)}
    figure, panels = make_figure(len(case.panels) + (case.last_panel is not None), 2, PANEL_SIZE)
    progress = {label: training.progress for label, training in trainings.items()}
    for axes, quantity in zip(panels, case.panels, strict=False):
        draw_quantity(axes, progress, quantity)
    if case.last_panel is not None:
        case.last_panel(panels[-1], trainings[label(case.fails)])
    name_runs(figure, list(trainings))
    save_figure(figure, folder / f"diagnostics_{name}.png")
    for title, training in trainings.items():
        mean, _ = evaluate_policy(training.model, seeded(case.env, seed + 3), n_eval_episodes=10)
        last = training.progress.ffill().iloc[-1].filter(regex="^(diagnostics|value)/")
        print(f"{name}, {title}, seed {seed}, {steps} steps: return {mean:.1f}")
        print("  " + ", ".join(f"{column} {value:.3g}" for column, value in last.items() if np.isfinite(value)))


def main(arguments: Sequence[str] | None = None) -> None:
    """
    :param arguments: The command line, None: that of the process
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help=f"which: {', '.join(CASES)} (default: all)")
    parser.add_argument("--folder", type=Path, default=Path("."), help="where the pictures go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="steps of each training (default: the case's)")
    options = parser.parse_args(arguments)
    th.set_num_threads(1)
    for name in options.cases or CASES:
        run(name, options.folder, options.seed, options.steps)


if __name__ == "__main__":
    main()
