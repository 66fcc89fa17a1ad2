"""What the environments say to those who want to see them."""

from typing import Any

import gymnasium as gym


def refuse_rendering(env: gym.Env[Any, Any], render_mode: str | None) -> None:
    """
    :param env: An environment that draws nothing
    :param render_mode: How it is to be drawn
    :raises TypeError: if that is not None
    """
    if render_mode is not None:
        # A TypeError: SB3's make_vec_env asks for "rgb_array" first, and on this error only makes the environment without
        raise TypeError(
            f"render_mode={render_mode!r} is not supported by {type(env).__name__}, which draws nothing: leave it None"
        )
