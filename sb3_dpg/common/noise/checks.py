"""Whether action noise fits the actions, for SB3's classes and ours."""

from numbers import Integral

import numpy as np
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise

from sb3_dpg.common.noise.base import without_wrapper


def check_action_noise(noise: ActionNoise | None, action_shape: tuple[int, ...]) -> None:
    """
    Refuse SB3 noise of a negative scale or of a shape other than the action's.

    :param noise: The noise, of whatever class; classes whose scale is unknown are accepted as they are
    :param action_shape: Shape of an action
    :raises TypeError: if it is not an SB3 ``ActionNoise``
    :raises ValueError: if its scale is negative or its shape does not fit the actions
    """
    if noise is None:
        return
    if not isinstance(noise, ActionNoise):
        raise TypeError(f"action_noise must be an SB3 ActionNoise, a specification or None, not {noise!r}")
    noise = without_wrapper(noise)
    if isinstance(noise, NormalActionNoise | OrnsteinUhlenbeckActionNoise):
        mean, sigma = np.asarray(noise._mu), np.asarray(noise._sigma)
        shape = np.broadcast_shapes(mean.shape, sigma.shape)
        if np.any(sigma < 0):
            raise ValueError(f"action_noise={noise} has a negative sigma: every entry must be at least 0")
        fitting = [(), (1,), action_shape]
    elif isinstance(action_dim := getattr(noise, "action_dim", None), Integral):
        shape = (int(action_dim),)
        # It knows for how many dimensions it is: one draw for all of several would be a mistake, not a wish
        fitting = [action_shape]
    else:
        return
    if shape not in fitting:
        if len(action_shape) == 1:
            hint = f"give it a mean of that length, such as numpy.zeros({action_shape[0]})"
        else:
            hint = "only SB3's noise, without a schedule, may have several axes (gymnasium's action wrappers can flatten them)"
        raise ValueError(
            f"action_noise={noise} has shape {shape}: the environment's actions have shape {action_shape}; {hint}"
        )
