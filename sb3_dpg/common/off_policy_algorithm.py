"""What BNDDPG and COPDACQ share around their updates: checks of arguments, exploration noise, files, stopping in time."""

import inspect
import io
import pathlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import maybe_make_env
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutReturn, Schedule, TensorDict
from stable_baselines3.her import HerReplayBuffer

from sb3_dpg.common.checks import (
    check_action_space,
    check_common_arguments,
    check_keywords,
    check_normalization,
    check_policy_class,
    check_policy_keywords,
)
from sb3_dpg.common.divergence import DivergenceError, WeightsGuard, all_finite, finite_weights
from sb3_dpg.common.noise import ScheduledNoise, make_noise
from sb3_dpg.common.noise.base import check_action_noise
from sb3_dpg.common.save_util import check_archive, load_weights, replacing, save_weights
from sb3_dpg.common.schedules import parse_learning_rate

SelfDeterministic = TypeVar("SelfDeterministic", bound="DeterministicOffPolicyAlgorithm")
File = str | pathlib.Path | io.BufferedIOBase


def end_stored_episodes(buffer: ReplayBuffer | None) -> None:
    """
    Let what is stored of episodes that a reset breaks off end there: n-step returns, goals of HER and, with
    ``optimize_memory_usage``, next observations would reach into the episodes that follow.

    :param buffer: The replay buffer, None for none
    """
    if isinstance(buffer, HerReplayBuffer):
        with warnings.catch_warnings():
            # It warns of a trajectory that is cut short: here it is meant
            warnings.simplefilter("ignore")
            buffer.truncate_last_trajectory()
    elif (
        buffer is not None
        and buffer.size() > 0
        and (buffer.handle_timeout_termination or buffer.optimize_memory_usage or isinstance(buffer, NStepReplayBuffer))
    ):
        newest = buffer.pos - 1
        if buffer.handle_timeout_termination:
            # Cut, not ended: its value is still bootstrapped. An episode that had ended before has no value to bootstrap
            buffer.timeouts[newest, buffer.dones[newest] == 0] = True
        buffer.dones[newest] = True


class DeterministicOffPolicyAlgorithm(OffPolicyAlgorithm):
    """
    The common base of our deterministic actor-critic algorithms.

    A deterministic policy explores by action noise alone, so the noise gets more care here than in SB3: it may be given as
    a specification that a YAML file can hold, it follows its schedule, its level is logged as ``rollout/noise_std``, it is
    refitted when the number of environments changes, and training without any is warned about.

    Training stops with an error, and with finite weights in place, when environment, losses or weights are not finite
    (docs/reliability.md). Files are replaced whole, and verified by :meth:`load`.

    :param policy: The policy model to use, a class or the name of an alias
    :param env: The environment to learn from (if registered in Gym, can be str)
    :param learning_rate: Learning rate, a number, a schedule of the progress remaining (from 1 to 0) or a string such as
        ``"lin_1e-3_1e-4"``
    :param action_noise: Exploration noise in the scaled action space [-1, 1]: an SB3 ``ActionNoise``, a specification
        such as ``{"type": "ornstein-uhlenbeck", "sigma": "lin_0.5_0.05"}`` or None
    :param policy_kwargs: Additional arguments of the policy; copied, never written into
    :param kwargs: The other arguments of SB3's ``OffPolicyAlgorithm``, by keyword
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range or the actions are not a bounded ``Box``
    """

    #: What every policy of the algorithm is a subclass of
    policy_base: ClassVar[type[BasePolicy]]
    #: The algorithm's own arguments that decide, besides ``policy_kwargs``, what networks there are
    network_arguments: ClassVar[tuple[str, ...]] = ("policy",)
    #: What "auto", the default of SB3 and rl-zoo3, means for ``device``; SB3's "auto" is a GPU if possible
    auto_device: ClassVar[str] = "auto"

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str | None,
        learning_rate: float | str | Schedule,
        *,
        action_noise: ActionNoise | Mapping[str, Any] | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        device: th.device | str = "auto",
        **kwargs: Any,
    ) -> None:
        given = dict(policy_kwargs=policy_kwargs, replay_buffer_kwargs=replay_buffer_kwargs, verbose=verbose)
        check_common_arguments(kwargs | given)
        if isinstance(policy, str) and policy not in self.policy_aliases:
            raise ValueError(f"policy={policy!r} is unknown: it must be a class or one of {', '.join(self.policy_aliases)}")
        if env is not None:
            env = maybe_make_env(env, verbose)
            self._check_env(env)
        super().__init__(
            policy,
            env,
            learning_rate,  # type: ignore[arg-type]  # may be a string, see _setup_lr_schedule
            policy_kwargs=dict(policy_kwargs or {}),
            replay_buffer_kwargs=dict(replay_buffer_kwargs or {}),
            verbose=verbose,
            device=self.auto_device if device == "auto" else device,
            sde_support=False,
            supported_action_spaces=(spaces.Box,),
            support_multi_env=True,
            **kwargs,
        )
        self.action_noise = action_noise  # type: ignore[assignment]  # may be a specification until _make_action_noise
        self._warned_without_noise = False

    def _setup_lr_schedule(self) -> None:
        # learning_rate stays what the user wrote
        self.lr_schedule = parse_learning_rate("learning_rate", self.learning_rate)

    def _check_env(self, env: GymEnv) -> None:
        """Refuse an environment that is not for this algorithm."""
        check_action_space(env, type(self).__name__)

    def _check_arguments(self) -> None:
        """Check what the constructor, or ``load`` by its keyword arguments, has set."""
        check_common_arguments(vars(self))
        if self.n_steps > 1 and self.replay_buffer_class is None and isinstance(self.observation_space, spaces.Dict):
            raise ValueError(
                f"n_steps={self.n_steps} is not for observations of type Dict, SB3 has no such replay buffer: use 1"
            )
        check_normalization(self._vec_normalize_env, self.observation_space)
        self._make_action_noise()

    def _check_normalization(self) -> None:
        """Refuse a ``VecNormalize`` that does not fit."""
        check_normalization(self._vec_normalize_env, self.observation_space)

    def _make_action_noise(self) -> None:
        """Make the noise if it is a specification, and check that it fits the actions."""
        self.action_noise = make_noise(self.action_noise, self.action_space.shape)
        check_action_noise(self.action_noise, self.action_space.shape)

    def _setup_model(self) -> None:
        if not hasattr(self, "observation_space"):
            raise ValueError("env=None: give an environment or its id; only load goes without")
        check_policy_class(self.policy_class, self.policy_base, type(self).__name__)
        check_policy_keywords(self.policy_class, self.policy_kwargs, self.network_arguments)
        # Kept as given: load may change buffer_size, n_steps or gamma, from which SB3 chooses them
        replay_buffer_class, replay_buffer_kwargs = self.replay_buffer_class, dict(self.replay_buffer_kwargs)
        self._check_arguments()
        # Not kept in policy_kwargs: SB3 refuses to load a model with other policy_kwargs than it saved
        policy_kwargs, self.policy_kwargs = self.policy_kwargs, self._complete_policy_kwargs()
        super()._setup_model()
        self.policy_kwargs = policy_kwargs
        self.replay_buffer_class, self.replay_buffer_kwargs = replay_buffer_class, replay_buffer_kwargs
        self._guard = WeightsGuard()

    def _complete_policy_kwargs(self) -> dict[str, Any]:
        """What the policy is built with: ``policy_kwargs``, and what follows from the algorithm's other arguments."""
        return self.policy_kwargs

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        assert self.env is not None, "You must set the environment before calling learn()"
        # Also for what set_env has brought
        self._check_normalization()
        self._fit_action_noise(self.env.num_envs)
        if reset_num_timesteps or self._last_obs is None:
            end_stored_episodes(self.replay_buffer)
        total_timesteps, callback = super()._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        # Again: SB3 has put copies into a VectorizedActionNoise, and our noise draws for all environments at once
        self._fit_action_noise(self.env.num_envs)
        if isinstance(self.action_noise, ScheduledNoise):
            self.action_noise.reset()
        assert self._last_obs is not None
        observed = self._last_obs if self._vec_normalize_env is None else self._vec_normalize_env.get_original_obs()
        if not all_finite(observed):
            self._last_obs = None
            raise ValueError(f"the environment's reset returned observation {observed}, which is not finite")
        if not all_finite(self._last_obs):
            self._last_obs = None
            raise ValueError("VecNormalize's statistics are not finite, after an observation that was not: make a new one")
        if self._total_timesteps > 0:
            # SB3 leaves the progress of the last training in place until the first step is done
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        if self.num_timesteps < self._total_timesteps <= self.learning_starts:
            self._warn(
                f"will not learn: training ends after {self._total_timesteps} steps, and all of the first "
                f"learning_starts={self.learning_starts} are random. Train for longer or lower learning_starts.",
                stacklevel=5,
            )
        self._check_weights("before training")
        if self._guard.last_good is None:
            # Earlier copies stay: nobody has seen yet what the last update of the piece before has done
            self._guard.keep(self._n_updates, self.get_parameters())
        return total_timesteps, callback

    def learn(
        self: SelfDeterministic,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = 4,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfDeterministic:
        """
        Train as SB3 does.

        :param total_timesteps: The total number of samples (environment steps) to train on
        :param callback: Callbacks called at every step with the state of the algorithm
        :param log_interval: Log every so many episodes, None for never
        :param tb_log_name: The name of the run for TensorBoard, None: the class's
        :param reset_num_timesteps: Whether the current step is set to 0
        :param progress_bar: Whether to display a progress bar
        :return: The model
        :raises ValueError: if the environment returns what is not finite
        :raises DivergenceError: if weights are not finite
        """
        name = type(self).__name__ if tb_log_name is None else tb_log_name
        # SB3 takes None too, whatever it declares
        super().learn(total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar)  # type: ignore[arg-type]
        # The last update has no loss after it that would show what it did
        self._check_weights("after the last update")
        return self

    def _fit_action_noise(self, n_envs: int) -> None:
        """
        Make the noise fit the number of environments, which may differ from the one it was saved with, and follow its
        schedule, if it has one, also where SB3's ``VectorizedActionNoise`` is around it.
        """
        self._make_action_noise()
        noise = self.action_noise
        if type(noise) is VectorizedActionNoise and (isinstance(noise.base_noise, ScheduledNoise) or noise.n_envs != n_envs):
            noise = noise.base_noise
        if isinstance(noise, ScheduledNoise):
            noise.resize(n_envs)
        self.action_noise = noise

    def _warn(self, problem: str, stacklevel: int = 6) -> None:
        # 6: the caller of the constructor
        warnings.warn(f"{type(self).__name__} {problem}", UserWarning, stacklevel=stacklevel)

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        # Training goes on to the end of the rollout that reaches the total: schedules of the users' own may be negative there
        super()._update_current_progress_remaining(min(num_timesteps, total_timesteps), total_timesteps)
        noise, progress = self.action_noise, self._current_progress_remaining
        # A thousand levels are as good as one for each step
        if isinstance(noise, ScheduledNoise) and (abs(progress - noise.progress_remaining) >= 1e-3 or progress in (0.0, 1.0)):
            noise.update(progress)

    def dump_logs(self) -> None:
        if isinstance(self.action_noise, ScheduledNoise):
            self.logger.record("rollout/noise_std", float(self.action_noise.std.mean()))
        super().dump_logs()

    def _check_weights(self, when: str) -> None:
        """Raise an error if weights are infinite or NaN; the last good ones, where there are any, are put back."""
        if not finite_weights(self.policy):
            raise self._diverged(f"{when} (step {self.num_timesteps}) the weights are not finite.")

    def _diverged(self, what: str) -> DivergenceError:
        """Put the last good weights back, where there are any, and make the error to raise."""
        # Before the optimizers, and with them their rates, are put back
        advice = self._advice()
        good = self._guard.last_good
        if good is not None:
            self.set_parameters(good)  # type: ignore[arg-type]  # SB3 declares one level of nesting less
            kept = "The model holds the last weights known to be good and can be saved."
        else:
            kept = "There are no earlier weights to go back to: load another checkpoint."
        return DivergenceError(f"{what} {advice} {kept}")

    def _advice(self) -> str:
        """The likely cause of a divergence, and what to do."""
        raise NotImplementedError

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.num_timesteps < learning_starts:
            # Without the noise, which SB3 adds here too: it throws a HalfCheetah on its back (docs/studies/default.md)
            return super()._sample_action(learning_starts, None, n_envs)
        scaled_action = self._scaled_action()
        if action_noise is not None:
            # Not np.clip, which takes longer on arrays of a few elements
            scaled_action = np.minimum(np.maximum(scaled_action + action_noise(), -1.0), 1.0)
        return self.policy.unscale_action(scaled_action), scaled_action

    def _scaled_action(self) -> np.ndarray:
        """What the policy that explores does at the last observations, scaled to [-1, 1]."""
        action, _ = self.predict(self._last_obs)  # type: ignore[arg-type]
        return self.policy.scale_action(action)

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> RolloutReturn:
        is_whole = False
        try:
            rollout = super().collect_rollouts(*args, **kwargs)
            is_whole = rollout.continue_training
            return rollout
        finally:
            if not is_whole:
                # A callback or an error came between a step and its transition, which is not stored: SB3 would store the one
                # from the observation before to whatever comes next. A learn that goes on resets the environment instead
                self._last_obs = None

    def _store_transition(
        self,
        replay_buffer: ReplayBuffer,
        buffer_action: np.ndarray,
        new_obs: np.ndarray | dict[str, np.ndarray],
        reward: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        # Not before: a callback may bring the noise
        if self.action_noise is None and not self._warned_without_noise:
            self._warned_without_noise = True
            self._warn(
                "is trained without action_noise: a deterministic policy does not explore by itself and can settle on doing "
                "nothing (MountainCarContinuous-v0 is the classic trap). "
                "Pass action_noise, for instance sb3_dpg.common.noise.OrnsteinUhlenbeckNoise.",
                stacklevel=7,
            )
        observed, rewarded = new_obs, reward
        if self._vec_normalize_env is not None:
            # VecNormalize clips infinite values: check what the environment gave
            observed, rewarded = self._vec_normalize_env.get_original_obs(), self._vec_normalize_env.get_original_reward()
        last = [infos[i].get("terminal_observation") for i in np.flatnonzero(dones)]
        finite = all_finite(buffer_action) and all_finite(observed) and all_finite(rewarded)
        if not (finite and all(obs is None or all_finite(obs) for obs in last)):
            # Once in the replay buffer it would spoil the training long after
            self._refuse_transition(buffer_action, observed, rewarded, last)
        super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)

    def _refuse_transition(
        self,
        buffer_action: np.ndarray,
        new_obs: np.ndarray | dict[str, np.ndarray],
        reward: np.ndarray,
        last: list[np.ndarray | dict[str, np.ndarray] | None],
    ) -> NoReturn:
        """Say what is not finite: the policy's weights, its action, or what the environment returned."""
        if not all_finite(buffer_action):
            self._check_weights("after an update")
            raise ValueError(
                f"at step {self.num_timesteps} the policy's action {buffer_action} is not finite, although its weights are: "
                "the observation before was too large for single precision (see VecNormalize), or the action_noise "
                f"{self.action_noise} is not finite. The weights can be saved."
            )
        observed = all_finite(new_obs) and all(obs is None or all_finite(obs) for obs in last)
        what = f"reward {reward}" if observed else f"observation {last if all_finite(new_obs) else new_obs}"
        raise ValueError(
            f"at step {self.num_timesteps} the environment returned {what}, which is not finite, for the action "
            f"{buffer_action} (scaled to [-1, 1]). The transition was not learned from: the weights are those of before it "
            "and can be saved. SB3's VecCheckNan tells which environment of several it was."
        )

    @classmethod
    def load(
        cls: type[SelfDeterministic],
        path: File,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        *args: Any,
        **kwargs: Any,
    ) -> SelfDeterministic:
        """
        Load a model as SB3 does, after its file was compared with its checksums. The file holds pickles, which can run any
        code: load only what you trust, or use :meth:`load_weights`.

        :param path: The file, ``.zip`` may be left out
        :param env: As in SB3's ``load``
        :param device: As in SB3's ``load``
        :param args: As in SB3's ``load``
        :param kwargs: As in SB3's ``load``, and arguments of the constructor, in place of the saved ones
        :return: The model
        :raises TypeError: if an argument is not known
        :raises ValueError: if the file is cut off or damaged
        """
        # SB3 would keep any as an attribute
        of_load = dict(inspect.signature(super().load).parameters)
        del of_load["kwargs"]
        check_keywords("load", kwargs, of_load | dict(inspect.signature(cls).parameters), ("policy", "_init_setup_model"))
        check_archive(path)
        if "stats_window_size" in kwargs:
            check_common_arguments(kwargs)
            # SB3's attribute has an underscore
            kwargs["_stats_window_size"] = kwargs.pop("stats_window_size")
        return super().load(path, env, cls.auto_device if device == "auto" else device, *args, **kwargs)

    def set_parameters(
        self, load_path_or_dict: str | TensorDict, exact_match: bool = True, device: th.device | str = "auto"
    ) -> None:
        try:
            # SB3 would bring the weights of a file to a GPU first, which may be full
            super().set_parameters(load_path_or_dict, exact_match, self.device if device == "auto" else device)
        except RuntimeError as error:
            # PyTorch lists the keys of all layers. Not a ValueError: SB3's load takes one for an old file of DQN
            raise RuntimeError(
                f"the weights are of other networks than this model's: {', '.join(self.network_arguments)} and policy_kwargs "
                "must be as they were when the weights were saved"
            ) from error
        self._guard = WeightsGuard()

    def save(self, path: File, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None) -> None:
        with replacing(path, "zip") as file:
            super().save(file, exclude, include)

    def save_replay_buffer(self, path: File) -> None:
        with replacing(path, "pkl") as file:
            super().save_replay_buffer(file)

    def save_weights(self, path: File) -> None:
        """
        Save the weights of all networks, with target networks and running statistics, in the safetensors format: without
        pickles, without optimizers, without anything else.

        :param path: Where to, ``.safetensors`` is added to a name without suffix
        """
        save_weights(self.policy, path)

    def load_weights(self, path: File) -> None:
        """
        Load what :meth:`save_weights` saved into this model. Optimizers stay as they are.

        :param path: The file, ``.safetensors`` may be left out; it cannot run code
        :raises ValueError: if the file is no safetensors file, or of another architecture
        """
        load_weights(self.policy, path)
        self._guard = WeightsGuard()

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_guard"]
