"""
Evaluate a trained agent beside an untrained one and plot its learning curve: ``python -m sb3_dpg.zoo.report --help``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import yaml
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.zoo.options import check_names
from sb3_dpg.zoo.playback import checked_lookup, register_for_playback

#: Untrained policies differ by their random weights: evaluate the first of one fixed seed
UNTRAINED_SEED = 0


def evaluate(policy: BasePolicy, env: VecEnv, n_episodes: int, seed: int) -> tuple[float, float]:
    """
    :param policy: The policy of an agent
    :param env: The environment
    :param n_episodes: Number of episodes
    :param seed: Seed of the initial states
    :return: Mean and standard deviation of the return, with deterministic actions
    """
    env.seed(seed)
    returns, _ = evaluate_policy(policy, env, n_eval_episodes=n_episodes, return_episode_rewards=True)
    return float(np.mean(returns)), float(np.std(returns))


def plot_learning_curve(evaluations: Path, title: str, figure: Path) -> None:
    """
    :param evaluations: ``evaluations.npz`` of a run
    :param title: Title of the plot
    :param figure: Where to save it, a .png file
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with np.load(evaluations) as log:
        timesteps, returns = log["timesteps"], log["results"]
    mean, std = returns.mean(axis=1), returns.std(axis=1)
    plt.figure(figsize=(6.4, 4.0))
    plt.plot(timesteps, mean, marker="o", markersize=3)
    plt.fill_between(timesteps, mean - std, mean + std, alpha=0.25, label="std over episodes")
    plt.xlabel("Timesteps")
    plt.ylabel(f"Return (mean of {returns.shape[1]} episodes)")
    plt.title(title)
    plt.legend()
    plt.tight_layout()
    plt.savefig(figure, dpi=150)


def report(algo: str, env_id: str, log_folder: str, n_episodes: int, seed: int) -> None:
    """
    :param algo: Name of the algorithm
    :param env_id: Id of the environment
    :param log_folder: Where ``sb3-dpg train`` logged its run; the latest is taken
    :param n_episodes: Number of evaluation episodes
    :param seed: Seed of the initial states
    """
    from huggingface_sb3 import EnvironmentName
    from rl_zoo3 import utils

    register_for_playback()
    check_names(["--algo", algo, "--env", env_id])
    env_name = EnvironmentName(env_id)
    with checked_lookup():
        _, model_path, run = utils.get_model_path(0, log_folder, algo, env_name)
        hyperparams, stats_path = utils.get_saved_hyperparams(str(Path(run, env_name)), test_mode=True)
        train_args = yaml.load(Path(run, env_name, "args.yml").read_text(), Loader=yaml.UnsafeLoader)
        env = utils.create_test_env(
            env_id,
            stats_path=stats_path,
            seed=seed,
            should_render=False,
            hyperparams=dict(hyperparams),
            env_kwargs=train_args["env_kwargs"],
        )
    trained = utils.ALGOS[algo].load(model_path, device="cpu").policy
    set_random_seed(UNTRAINED_SEED)
    untrained = type(trained)(**trained._get_constructor_parameters())
    print(f"\n{algo} on {env_id}: return over {n_episodes} episodes, the same initial states for both")
    for name, policy in (("untrained", untrained), ("trained", trained)):
        mean, std = evaluate(policy, env, n_episodes, seed)
        print(f"  {name:<10} {mean:10.1f} +- {std:.1f}")
    env.close()
    print(f"Run: {run} (seed {train_args['seed']})")
    if Path(run, "evaluations.npz").is_file():
        figure = Path(run, "learning_curve.png")
        plot_learning_curve(Path(run, "evaluations.npz"), f"{algo} on {env_id}", figure)
        print(f"Learning curve: {figure}")


def main(arguments: Sequence[str] | None = None) -> None:
    """
    :param arguments: The command line, None for the process's own
    """
    parser = argparse.ArgumentParser(prog="python -m sb3_dpg.zoo.report", description=__doc__)
    parser.add_argument("--algo", default="bnddpg", help="algorithm")
    parser.add_argument("--env", default="Pendulum-v1", help="environment id")
    parser.add_argument("-f", "--folder", default="logs", help="log folder of sb3-dpg train")
    parser.add_argument("--episodes", type=int, default=20, help="number of evaluation episodes")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the initial states")
    options = parser.parse_args(arguments)
    try:
        report(options.algo, options.env, options.folder, options.episodes, options.seed)
    except ConfigurationError as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
