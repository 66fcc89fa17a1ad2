"""
The animations of README and docs: a saved agent, drawn without a display.

    python -m scripts.animation logs/bnddpg/BipedalWalker-v3_1/best_model.zip --output walker.gif
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym
import numpy as np
from PIL import Image
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_dpg.zoo.registration import register_algorithms


def record(model: BaseAlgorithm, env: gym.Env, seed: int, steps: int, every: int) -> list[np.ndarray]:
    """
    :param model: An agent, which acts without noise
    :param env: Its environment, with ``render_mode="rgb_array"``
    :param seed: Seed of the initial state
    :param steps: The most steps, of one episode
    :param every: Draw each so many steps
    :return: Pictures, (height, width, 3)
    """
    obs, _ = env.reset(seed=seed)
    frames = []
    for step in range(steps):
        if step % every == 0:
            frames.append(np.asarray(env.render()))
        action, _ = model.predict(obs, deterministic=True)
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    return frames


def save_gif(frames: Sequence[np.ndarray], path: Path, width: int, fps: float, n_colors: int) -> None:
    """
    :param frames: Pictures, (height, width, 3)
    :param path: Where to write the GIF
    :param width: Width of the animation, in pixels
    :param fps: Pictures a second
    :param n_colors: Size of the palette, which all pictures share: the fewer, the smaller the file
    """
    height = round(width * frames[0].shape[0] / frames[0].shape[1])
    images = [Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS) for frame in frames]
    palette = images[len(images) // 2].quantize(n_colors)
    first, *others = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
    path.parent.mkdir(parents=True, exist_ok=True)
    first.save(path, save_all=True, append_images=others, duration=round(1000 / fps), loop=0)


def main(arguments: Sequence[str] | None = None) -> None:
    """
    :param arguments: The command line, None for the process's own
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.animation", description=__doc__)
    parser.add_argument("agent", type=Path, help="zip file of the agent")
    parser.add_argument("--algo", default="bnddpg", help="algorithm (default: %(default)s)")
    parser.add_argument("--env", default="BipedalWalker-v3", help="environment id (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="the GIF")
    parser.add_argument("--steps", type=int, default=600, help="the most steps of the episode (default: %(default)s)")
    parser.add_argument("--every", type=int, default=3, help="draw each so many steps (default: %(default)s)")
    parser.add_argument("--width", type=int, default=300, help="in pixels (default: %(default)s)")
    parser.add_argument("--colors", type=int, default=16, help="size of the palette (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the initial state (default: %(default)s)")
    options = parser.parse_args(arguments)
    model = register_algorithms()[options.algo].load(options.agent, device="cpu")
    env = gym.make(options.env, render_mode="rgb_array")
    frames = record(model, env, options.seed, options.steps, options.every)
    fps = env.metadata["render_fps"] / options.every
    env.close()
    save_gif(frames, options.output, options.width, fps, options.colors)
    print(f"{options.output}: {len(frames)} pictures, {options.output.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
