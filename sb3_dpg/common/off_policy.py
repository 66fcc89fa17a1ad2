"""What BNDDPG and COPDACQ share around their updates: checks of arguments, exploration noise, the replay buffer's life."""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from gymnasium import spaces
from stable_baselines3.common.base_class import maybe_make_env
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutReturn, Schedule

from sb3_dpg.common.arguments import check_common_arguments
from sb3_dpg.common.checks import check_action_space, check_policy_class, check_rate
from sb3_dpg.common.guarded import GuardedOffPolicyAlgorithm
from sb3_dpg.common.noise import ScheduledNoise, make_noise
from sb3_dpg.common.noise.checks import check_action_noise
from sb3_dpg.common.verified_files import VerifiedFilesAlgorithm


class DeterministicOffPolicyAlgorithm(GuardedOffPolicyAlgorithm, VerifiedFilesAlgorithm):
    """
    The common base of our deterministic actor-critic algorithms.

    A deterministic policy explores by action noise alone, so the noise gets more care here than in SB3: it may be given as
    a specification that a YAML file can hold, it follows its schedule, its level is logged as ``rollout/noise_std``, it is
    refitted when the number of environments changes, and training without any is warned about.

    The replay buffer is allocated when there is an environment to fill it: a model that is loaded for acting only
    (``load(path)`` without ``env``) takes no memory for it. (With a ``HerReplayBuffer`` it is loaded with one, as in SB3.)

    :param policy: The policy model to use, a class or the name of an alias
    :param env: The environment to learn from (if registered in Gym, can be str)
    :param learning_rate: Learning rate, a number or a schedule of the progress remaining (from 1 to 0)
    :param action_noise: Exploration noise in the scaled action space [-1, 1]: an SB3 ``ActionNoise``, a specification
        such as ``{"type": "ornstein-uhlenbeck", "sigma": "lin_0.5_0.05"}`` or None
    :param policy_kwargs: Additional arguments of the policy; copied, never written into
    :param kwargs: The other arguments of SB3's ``OffPolicyAlgorithm``, by keyword
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range or the actions are not a bounded ``Box``
    """

    #: What every policy of the algorithm is a subclass of
    policy_base: ClassVar[type[BasePolicy]]

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule,
        *,
        action_noise: ActionNoise | Mapping[str, Any] | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
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
            learning_rate,
            policy_kwargs=dict(policy_kwargs or {}),
            replay_buffer_kwargs=dict(replay_buffer_kwargs or {}),
            verbose=verbose,
            sde_support=False,
            supported_action_spaces=(spaces.Box,),
            support_multi_env=True,
            **kwargs,
        )
        self.action_noise = action_noise  # type: ignore[assignment]  # may be a specification until _make_action_noise
        self._warned_without_noise = False
        self._stand_in: ReplayBuffer | None = None

    def _check_env(self, env: GymEnv) -> None:
        """
        :param env: The environment that the constructor was given
        :raises ValueError: if it is not for this algorithm
        """
        check_action_space(env, type(self).__name__)

    def _check_arguments(self) -> None:
        """
        Check what the constructor, or ``load`` by its keyword arguments, has set.

        :raises TypeError: if an argument has the wrong type
        :raises ValueError: if an argument is out of its range
        """
        check_common_arguments(vars(self))
        check_rate("learning_rate", self.learning_rate)
        self._make_action_noise()

    def _make_action_noise(self) -> None:
        """
        Make the noise if it is a specification, and check that it fits the actions.

        :raises TypeError: if it is neither
        :raises ValueError: if the specification is not valid, or the noise has another shape than the actions
        """
        self.action_noise = make_noise(self.action_noise, get_action_dim(self.action_space))
        check_action_noise(self.action_noise, self.action_space.shape)

    def _setup_model(self) -> None:
        check_policy_class(self.policy_class, self.policy_base, type(self).__name__)
        self._check_arguments()
        # Not kept in policy_kwargs: SB3 refuses to load a model with other policy_kwargs than it saved
        policy_kwargs, self.policy_kwargs = self.policy_kwargs, self._complete_policy_kwargs()
        full_size, loaded_for_acting = self.buffer_size, self.env is None and self.replay_buffer is None
        if loaded_for_acting:
            # SB3 builds the buffer here whatever the model is loaded for: a stand-in of one transition an environment
            self.buffer_size = self.n_envs
        super()._setup_model()
        self.buffer_size, self.policy_kwargs = full_size, policy_kwargs
        self._stand_in = self.replay_buffer if loaded_for_acting else None

    def _complete_policy_kwargs(self) -> dict[str, Any]:
        """
        :return: What the policy is built with: ``policy_kwargs``, and what follows from the algorithm's other arguments
        """
        return self.policy_kwargs

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        super().set_env(env, force_reset)
        if self._stand_in is not None and self.replay_buffer is self._stand_in:
            self.replay_buffer = self._make_replay_buffer()
        self._stand_in = None

    def _make_replay_buffer(self) -> ReplayBuffer:
        """
        :return: A replay buffer of the full size, empty, as SB3's ``_setup_model`` makes it
        """
        assert self.replay_buffer_class is not None
        return self.replay_buffer_class(
            self.buffer_size,
            self.observation_space,
            self.action_space,
            device=self.device,
            n_envs=self.n_envs,
            optimize_memory_usage=self.optimize_memory_usage,
            **self.replay_buffer_kwargs,
        )

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        assert self.env is not None, "You must set the environment before calling learn()"
        self._fit_action_noise(self.env.num_envs)
        total_timesteps, callback = super()._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        if self._total_timesteps > 0:
            # SB3 leaves the progress of the last training in place until the first step is done
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        if self.num_timesteps < self._total_timesteps <= self.learning_starts:
            self._warn(
                f"will not learn: training ends after {self._total_timesteps} steps, and all of the first "
                f"learning_starts={self.learning_starts} are random. Train for longer or lower learning_starts."
            )
        return total_timesteps, callback

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> RolloutReturn:
        # Not before: a callback may bring the noise
        if self.action_noise is None and not self._warned_without_noise:
            self._warned_without_noise = True
            self._warn(
                "is trained without action_noise: a deterministic policy does not explore by itself and can settle on doing "
                "nothing (MountainCarContinuous-v0 is the classic trap). "
                "Pass action_noise, for instance sb3_dpg.common.noise.OrnsteinUhlenbeckNoise."
            )
        return super().collect_rollouts(*args, **kwargs)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_stand_in"]

    def _fit_action_noise(self, n_envs: int) -> None:
        """
        Make the noise fit the number of environments, which may differ from the one it was saved with, and follow its
        schedule, if it has one, also where SB3's ``VectorizedActionNoise`` is around it.

        :param n_envs: Number of environments
        """
        self._make_action_noise()
        noise = self.action_noise
        if type(noise) is VectorizedActionNoise and (isinstance(noise.base_noise, ScheduledNoise) or noise.n_envs != n_envs):
            noise = noise.base_noise
        if isinstance(noise, ScheduledNoise):
            # From then on SB3 takes it for vectorised and does not wrap copies of it
            noise.resize(n_envs)
        self.action_noise = noise

    def _warn(self, problem: str) -> None:
        warnings.warn(f"{type(self).__name__} {problem}", UserWarning, stacklevel=6)  # 6: the caller of learn

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        # Training goes on to the end of the rollout that reaches the total: schedules of the users' own may be negative there
        super()._update_current_progress_remaining(min(num_timesteps, total_timesteps), total_timesteps)
        if isinstance(self.action_noise, ScheduledNoise):
            self.action_noise.update(self._current_progress_remaining)

    def dump_logs(self) -> None:
        if isinstance(self.action_noise, ScheduledNoise):
            self.logger.record("rollout/noise_std", float(self.action_noise.std.mean()))
        super().dump_logs()
