"""Scheduled action noise for algorithms that do not know schedules."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_dpg.common.noise import ScaledNoise, ScheduledNoise, make_noise
from sb3_dpg.common.noise.base import check_action_noise, without_wrapper
from sb3_dpg.common.noise.parameter import ParameterLike

NoiseLike: TypeAlias = ActionNoise | Mapping[str, Any] | Callable[..., ActionNoise]


class ActionNoiseCallback(BaseCallback):
    """
    Give any SB3 off-policy algorithm (DDPG, TD3, SAC, TQC, CrossQ...) action noise that follows a schedule.

    The noise is installed as ``model.action_noise`` when training starts, in place of what was there, and fitted to the number
    of environments: a model may be loaded with another number than it was saved with. Before every step it is set to the
    progress of training, and its standard deviation (mean over the action dimensions) is logged as ``rollout/noise_std``.

    Schedules are functions of SB3's progress remaining: a new ``learn()`` starts them again, and
    ``learn(..., reset_num_timesteps=False)`` goes on with the fraction that is done of the new total; noise that is given
    again then takes over the random stream of the noise that the model has.

    In a zoo YAML::

        callback:
          - sb3_dpg.common.callbacks.ActionNoiseCallback:
              noise: {type: ornstein-uhlenbeck, sigma: lin_0.5_0.05}

    :param noise: The noise, as one of

        - a :class:`~sb3_dpg.common.noise.ScheduledNoise`;
        - a specification of one, see :func:`~sb3_dpg.common.noise.make_noise`;
        - any SB3 ``ActionNoise`` of one environment, or a function that makes one (wherever the noise has a generator of its
          own, as that of pink-noise-rl): it is put into a :class:`~sb3_dpg.common.noise.ScaledNoise`;
        - None: the noise that the model has, for instance that of a loaded model, whose random stream goes on.
    :param scale: Factor of noise that has no schedule of its own (the third form, or the model's): a number, a schedule, a
        schedule string such as ``"lin_1_0.1"``, or a sequence of these; None for 1, or for the scale that the noise has
    :param verbose: Verbosity level: 0 for no output, 1 for the noise that is installed
    :raises TypeError: if ``noise`` is none of these, or, when training starts, the algorithm takes no action noise
    :raises ValueError: if ``scale`` is given with noise that has its own schedules, or, when training starts, the
        specification is not valid, the model has no noise, or the noise has another shape than the actions
    """

    def __init__(self, noise: NoiseLike | None = None, scale: ParameterLike | None = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        if noise is not None and not isinstance(noise, ActionNoise | Mapping) and not callable(noise):
            raise TypeError(
                f"noise={noise!r} must be an SB3 ActionNoise, a function that makes one, a specification such as "
                "{'type': 'ornstein-uhlenbeck', 'sigma': 'lin_0.5_0.05'}, or None for the noise of the model"
            )
        if scale is not None and isinstance(noise, ScheduledNoise | Mapping):
            raise _has_own_schedules(noise, scale)
        self.noise = noise
        self.scale = scale
        self.scheduled_noise: ScheduledNoise  # from _init_callback on
        self._model_before: BaseAlgorithm | None = None

    def _init_callback(self) -> None:
        if not isinstance(self.model, OffPolicyAlgorithm) or not isinstance(self.model.action_space, spaces.Box):
            raise TypeError(
                f"{type(self.model).__name__} with action space {self.model.action_space} takes no action noise: "
                "ActionNoiseCallback needs an off-policy algorithm with continuous actions, such as TD3 or SAC"
            )
        if self.noise is None:
            if self.model.action_noise is None:
                raise ValueError("ActionNoiseCallback() without noise schedules that of the model, whose action_noise is None")
            # Without SB3's copies for several environments
            self.scheduled_noise = self._scheduled(without_wrapper(self.model.action_noise))
        elif self._model_before is not self.model:
            # A second learn() goes on with the noise of the first, another model does not
            self.scheduled_noise = self._scheduled(self.noise)
        self._model_before = self.model
        # Also that of an earlier model, which may have had other actions
        check_action_noise(self.scheduled_noise, self.model.action_space.shape)

    def _scheduled(self, noise: NoiseLike) -> ScheduledNoise:
        """Noise in any form as one that can be updated and resized."""
        if isinstance(noise, Mapping):
            return cast(ScheduledNoise, make_noise(noise, self.model.action_space.shape))
        if not isinstance(noise, ScheduledNoise):
            return ScaledNoise(noise, 1.0 if self.scale is None else self.scale)
        if self.scale is not None:
            # The noise of the model: what an earlier callback has scaled gets this scale, as when training is resumed
            if not isinstance(noise, ScaledNoise):
                raise _has_own_schedules(noise, self.scale)
            noise.rescale(self.scale)
        return noise

    def _on_training_start(self) -> None:
        if self.model.num_timesteps > 0 and self.model.action_noise is not None:
            # SB3 has wrapped copies of it by now, where there are several environments
            self.scheduled_noise.continue_stream_of(without_wrapper(self.model.action_noise))
        self.scheduled_noise.resize(self.training_env.num_envs)
        self.scheduled_noise.reset()
        self.model.action_noise = self.scheduled_noise
        self._update_noise()
        if self.verbose >= 1:
            print(f"Action noise: {self.scheduled_noise}")

    def _on_step(self) -> bool:
        self._update_noise()
        return True

    def _update_noise(self) -> None:
        """Set the noise to the progress of training, and log it."""
        if self.model._total_timesteps > 0:
            # SB3 does this after the callbacks: without it the noise, and what is logged, would be one step late
            self.model._update_current_progress_remaining(self.model.num_timesteps, self.model._total_timesteps)
        self.scheduled_noise.update(self.model._current_progress_remaining)
        self.logger.record("rollout/noise_std", float(np.mean(self.scheduled_noise.std)))


def _has_own_schedules(noise: ScheduledNoise | Mapping[str, Any], scale: ParameterLike) -> ValueError:
    """The error to raise for a scale of noise that is not to be scaled."""
    foreign = isinstance(noise, Mapping) and "." in str(noise.get("type"))
    instead = "put it into the specification" if foreign else "which has schedules of its own: schedule its sigma instead"
    return ValueError(f"scale={scale!r} does not go with noise={noise!r}, {instead}")
