"""Evaluate a trained agent beside an untrained one and plot its learning curve: the end of ``make train``."""

import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from huggingface_sb3 import EnvironmentName
from rl_zoo3 import utils
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import set_random_seed

from sb3_dpg.common.errors import Parser, run_command
from sb3_dpg.common.plotting import make_figure, save_figure, series_style
from sb3_dpg.zoo.options import check_names
from sb3_dpg.zoo.playback import find_agent
from sb3_dpg.zoo.registration import register_algorithms

#: Untrained policies differ by their random weights: evaluate the first of one fixed seed
UNTRAINED_SEED = 0


def plot_learning_curve(evaluations: Path, title: str, figure_path: Path) -> None:
    """
    :param evaluations: ``evaluations.npz`` of a run
    :param title: Title of the plot
    :param figure_path: Where to save it, a .png file
    """
    with np.load(evaluations) as log:
        timesteps, returns = log["timesteps"], log["results"]
    mean, std = returns.mean(axis=1), returns.std(axis=1)
    figure, (axes,) = make_figure()
    style = series_style(0)
    axes.plot(timesteps, mean, **style)
    axes.fill_between(timesteps, mean - std, mean + std, alpha=0.25, color=style["color"], label="std over episodes")
    axes.set(xlabel="Timesteps", ylabel=f"Return (mean of {returns.shape[1]} episodes)", title=title)
    axes.legend()
    save_figure(figure, figure_path, dpi=150)


def compare(algo: str, env_id: str, log_folder: str, n_episodes: int, seed: int) -> None:
    """
    :param algo: Name of the algorithm
    :param env_id: Id of the environment
    :param log_folder: Where ``sb3-dpg train`` logged its run; the latest is taken
    :param n_episodes: Number of evaluation episodes
    :param seed: Seed of the initial states
    """
    algorithms = register_algorithms()
    names = ["--algo", algo, "--env", env_id]
    check_names(names)
    model_path = Path(find_agent([*names, "-f", log_folder])[1])
    run, settings = model_path.parent, model_path.parent / EnvironmentName(env_id)
    train_args = yaml.load((settings / "args.yml").read_text(), Loader=yaml.UnsafeLoader)
    with contextlib.redirect_stdout(io.StringIO()):
        hyperparams, stats_path = utils.get_saved_hyperparams(str(settings), test_mode=True)
        options = {"stats_path": stats_path, "hyperparams": dict(hyperparams), "env_kwargs": train_args["env_kwargs"]}
        env = utils.create_test_env(env_id, seed=seed, should_render=False, **options)
    trained = algorithms[algo].load(model_path, device="cpu").policy
    set_random_seed(UNTRAINED_SEED)
    untrained = type(trained)(**trained._get_constructor_parameters())
    print(f"{algo} on {env_id}: return over {n_episodes} episodes, the same initial states for both")
    for name, policy in (("untrained", untrained), ("trained", trained)):
        env.seed(seed)
        returns, _ = evaluate_policy(policy, env, n_eval_episodes=n_episodes, return_episode_rewards=True)
        print(f"  {name:<10} {np.mean(returns):10.1f} +- {np.std(returns):.1f}")
    env.close()
    print(f"Run: {run} (seed {train_args['seed']})")
    if (run / "evaluations.npz").is_file():
        plot_learning_curve(run / "evaluations.npz", f"{algo} on {env_id}", run / "learning_curve.png")
        print(f"Learning curve: {run / 'learning_curve.png'}")


def main(arguments: Sequence[str] | None = None) -> None:
    """
    :param arguments: The command line, None for the process's own
    """
    parser = Parser(prog="python -m scripts.compare_untrained", description=__doc__)
    parser.add_argument("--algo", default="bnddpg", help="algorithm")
    parser.add_argument("--env", default="Pendulum-v1", help="environment id")
    parser.add_argument("-f", "--folder", default="logs", help="log folder of sb3-dpg train")
    parser.add_argument("--episodes", type=int, default=20, help="number of evaluation episodes")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the initial states")
    options = parser.parse_args(arguments)
    code = run_command(parser.prog, lambda: compare(options.algo, options.env, options.folder, options.episodes, options.seed))
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
