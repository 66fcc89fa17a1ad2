"""
Returns of uniformly random actions, the zero of normalised scores.

``python -m scripts.random_scores Pendulum-v1 Hopper-v5`` prints them in the form of ``reference_scores.yml``.
"""

import argparse
from collections.abc import Sequence

import gymnasium as gym
import numpy as np
import yaml


def random_returns(environment: str, episodes: int, seed: int) -> list[float]:
    """
    :param environment: Id of an environment
    :param episodes: How many episodes to play
    :param seed: Seed of the environment and of the actions
    :return: The return of each episode
    """
    env = gym.make(environment)
    env.action_space.seed(seed)
    returns = []
    for episode in range(episodes):
        env.reset(seed=seed if episode == 0 else None)
        total, ended = 0.0, False
        while not ended:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total += float(reward)
            ended = terminated or truncated
        returns.append(total)
    env.close()
    return returns


def main(arguments: Sequence[str] | None = None) -> None:
    """
    :param arguments: Those of the command line, None for the process's own
    """
    parser = argparse.ArgumentParser(
        prog="python -m scripts.random_scores", description="Measure the return of uniformly random actions."
    )
    parser.add_argument("environments", nargs="+", metavar="ENV", help="id of an environment")
    parser.add_argument("--episodes", type=int, default=100, help="episodes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    options = parser.parse_args(arguments)
    for environment in options.environments:
        returns = random_returns(environment, options.episodes, options.seed)
        source = (
            f"measured: mean of {options.episodes} episodes, standard deviation {np.std(returns):.1f}, seed {options.seed}"
        )
        entry = {environment: {"random": round(float(np.mean(returns)), 3), "random_source": source}}
        print(yaml.safe_dump(entry, sort_keys=False, width=120), end="", flush=True)


if __name__ == "__main__":
    main()
