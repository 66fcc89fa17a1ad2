"""
Deterministic against stochastic actor-critic on the continuous bandit (Silver et al. 2014, figure 1):
``python -m scripts.bandit_study``.

In NumPy, as both critics are re-fitted by linear regression on each batch, which no SB3 algorithm does.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sb3_dpg.common.plotting import LINE_STYLES, make_figure, save_figure, series_style
from sb3_dpg.envs import ContinuousBandit

RUNS = 5
STEPS = 10_000
# The sweep of each algorithm; the best final cost counts, as in the paper
STEP_SIZES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SIGMAS = (0.01, 0.03, 0.1, 0.3, 1.0)
# A mean action, or the logarithm of a standard deviation, of this size: the step size was too large
DIVERGED = 50.0

# (actions, rewards, parameters, sigma) -> ascent direction of the parameters
Actor = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]


def regression(features: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """
    :param features: phi(a), (batch_size, n_features)
    :param rewards: r, (batch_size,)
    :return: w of the least-squares fit r = w^T phi(a) + v, (n_features,)
    """
    design = np.column_stack([features, np.ones(len(rewards))])
    return np.linalg.lstsq(design, rewards, rcond=None)[0][:-1]


def deterministic(actions: np.ndarray, rewards: np.ndarray, theta: np.ndarray, sigma: float) -> np.ndarray:
    """
    COPDAC-B: mu = theta, compatible features phi(a) = a - theta, ascent along grad_a Q = w.

    :param actions: a, (batch_size, m)
    :param rewards: r, (batch_size,)
    :param theta: The policy, (m,)
    :param sigma: Standard deviation of the exploration
    :return: Ascent direction of theta, (m,)
    """
    return regression(actions - theta, rewards)


def stochastic(actions: np.ndarray, rewards: np.ndarray, parameters: np.ndarray, sigma: float) -> np.ndarray:
    """
    SAC-B, the stochastic actor-critic: pi = N(theta, exp(y)^2) with a learned y, compatible features grad log pi(a), ascent
    along the mean of grad log pi(a) (phi(a)^T w), as in the paper's appendix without importance weights: it acts by its own
    policy.

    :param actions: a, (batch_size, m)
    :param rewards: r, (batch_size,)
    :param parameters: theta and y, (m + 1,)
    :param sigma: Not used: the policy's standard deviation is its own
    :return: Ascent direction of the parameters, (m + 1,)
    """
    theta, y = parameters[:-1], parameters[-1]
    variance = np.exp(2.0 * y)
    offset = actions - theta
    score = np.column_stack([offset / variance, (offset**2).sum(1) / variance - len(theta)])
    return (score * (score @ regression(score, rewards))[:, None]).mean(0)


def run(method: Actor, action_dim: int, step_size: float, sigma: float, seed: int) -> np.ndarray:
    """
    One run: batches of 2 m actions, a critic fitted to each, one step of the actor a batch.

    :param method: ``deterministic`` or ``stochastic``
    :param action_dim: m
    :param step_size: Step size of the actor
    :param sigma: Standard deviation of the exploration; the stochastic policy's first one
    :param seed: Seed of run and exploration
    :return: Cost of the mean action after each batch, (n_batches,)
    """
    bandit = ContinuousBandit(action_dim)
    generator = np.random.default_rng(seed)
    learns_sigma = method is stochastic
    parameters = np.zeros(action_dim + learns_sigma)
    if learns_sigma:
        parameters[-1] = np.log(sigma)
    costs = []
    for _ in range(STEPS // (2 * action_dim)):
        theta = parameters[:action_dim]
        spread = np.exp(parameters[-1]) if learns_sigma else sigma
        actions = theta + spread * generator.standard_normal((2 * action_dim, action_dim))
        errors = actions - bandit.optimal_action
        rewards = -np.einsum("bi,ij,bj->b", errors, bandit.cost_matrix, errors)
        parameters = parameters + step_size * method(actions, rewards, parameters, sigma)
        if not np.abs(parameters).max() < DIVERGED:  # NaN compares as False
            return np.full(STEPS // (2 * action_dim), np.inf)
        error = parameters[:action_dim] - bandit.optimal_action
        costs.append(error @ bandit.cost_matrix @ error)
    return np.array(costs)


def best_of_sweep(method: Actor, action_dim: int, sigmas: tuple[float, ...]) -> tuple[np.ndarray, float, float]:
    """
    :param method: ``deterministic`` or ``stochastic``
    :param action_dim: m
    :param sigmas: Exploration to sweep over, beside the step sizes
    :return: Costs of the best settings, (RUNS, n_batches), and these: step size and sigma
    """
    results = {}
    with np.errstate(all="ignore"):
        for step_size in STEP_SIZES:
            for sigma in sigmas:
                results[step_size, sigma] = np.array([run(method, action_dim, step_size, sigma, seed) for seed in range(RUNS)])
    best = min(results, key=lambda key: results[key][:, -1].mean())
    return results[best], *best


def bandit_figure(path: Path) -> None:
    """
    :param path: Where the figure goes
    """
    figure, axes = make_figure(3, panel_size=(3.7, 3.6))
    print("| m | sweep over sigma | algorithm | step size | sigma | final cost, mean of 5 runs | range |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for axis, action_dim in zip(axes, (10, 25, 50), strict=True):
        for sigmas, line_style in zip((SIGMAS, SIGMAS[-1:]), LINE_STYLES, strict=False):
            sweep = f"{sigmas[0]} to {sigmas[-1]}" if len(sigmas) > 1 else f"{sigmas[0]} only"
            for index, (method, name) in enumerate(((stochastic, "SAC-B"), (deterministic, "COPDAC-B"))):
                color = series_style(index)["color"]
                costs, step_size, sigma = best_of_sweep(method, action_dim, sigmas)
                steps = 2 * action_dim * np.arange(1, costs.shape[1] + 1)
                axis.plot(steps, costs.mean(0), line_style, color=color, label=f"{name}, sigma {sweep}")
                axis.fill_between(steps, costs.min(0), costs.max(0), color=color, alpha=0.2)
                final = costs[:, -1]
                values = f"{final.mean():.2g} | {final.min():.2g} to {final.max():.2g}"
                print(f"| {action_dim} | {sweep} | {name} | {step_size} | {sigma} | {values} |", flush=True)
        axis.set(xscale="log", yscale="log", xlabel="time steps", title=f"{action_dim} action dimensions", ylim=(1e-5, 1e3))
    axes[0].set_ylabel("cost of the mean action")
    axes[0].legend(fontsize=7)
    save_figure(figure, path, dpi=110)
    print(f"wrote {path}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bandit_study", description="Figure 1 of Silver et al. 2014")
    parser.add_argument("--output", type=Path, default=Path("docs/images/copdacq_bandit.png"), help="default: %(default)s")
    bandit_figure(parser.parse_args().output)


if __name__ == "__main__":
    main()
