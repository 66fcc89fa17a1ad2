"""
Small continuous problems with a known answer, registered with gymnasium when this package is imported.

``LQR-v0``, ``ContinuousBandit10-v0``, ``ContinuousBandit25-v0``, ``ContinuousBandit50-v0`` and ``PuddleWorldContinuous-v0``.
"""

import gymnasium as gym

from sb3_dpg.envs.bandit import ContinuousBandit
from sb3_dpg.envs.lqr import LQR
from sb3_dpg.envs.puddle_world import PuddleWorld

__all__ = ["LQR", "ContinuousBandit", "PuddleWorld", "register"]


def register() -> None:
    """Register the environments with gymnasium, those that are not yet."""
    specs = [
        ("LQR-v0", LQR, 10, {"max_state": 1.7, "max_action": 6.0}),
        *((f"ContinuousBandit{dim}-v0", ContinuousBandit, None, {"action_dim": dim}) for dim in (10, 25, 50)),
        # The paper's limit on the length of an episode
        ("PuddleWorldContinuous-v0", PuddleWorld, 5000, {}),
    ]
    for env_id, env_class, max_episode_steps, kwargs in specs:
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=f"{env_class.__module__}:{env_class.__name__}",
                max_episode_steps=max_episode_steps,
                kwargs=kwargs,
            )


register()
