"""What the environments say to those who want to see them."""

from typing import Any

import gymnasium as gym


def refuse_rendering(env: gym.Env[Any, Any], render_mode: str | None) -> None:
    """Refuse any way to draw an environment that draws nothing."""
    if render_mode is not None:
        # A TypeError: SB3's make_vec_env asks for "rgb_array" first, and on this error only makes the environment without
        raise TypeError(
            f"render_mode={render_mode!r} is not supported by {type(env).__name__}, which draws nothing: leave it None"
        )
