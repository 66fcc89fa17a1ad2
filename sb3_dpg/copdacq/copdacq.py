"""COPDAC-Q: the compatible off-policy deterministic actor-critic (Silver et al. 2014)."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule, TrainFreq, TrainFrequencyUnit

from sb3_dpg.common.checks import check_real, check_type
from sb3_dpg.common.features import BoundedFeatures
from sb3_dpg.common.off_policy_algorithm import DeterministicOffPolicyAlgorithm
from sb3_dpg.common.schedules import parse_learning_rate
from sb3_dpg.copdacq.buffers import LatestTransitions
from sb3_dpg.copdacq.linearisation import ArrayT
from sb3_dpg.copdacq.policies import (
    CompatiblePolicy,
    LinearPolicy,
    MlpPolicy,
    default_features,
    features_class,
)
from sb3_dpg.copdacq.tiles import TilePolicy
from sb3_dpg.copdacq.updates import (
    CompatibleFunctions,
    StepSizes,
    copdac_q,
    gradient_q_correction,
    linearised,
    td_error,
)

GRADIENT_Q = (False, True, "full")
#: alpha_theta, alpha_w, alpha_v, alpha_u
LEARNING_RATES = ("actor_learning_rate", "advantage_learning_rate", "value_learning_rate", "correction_learning_rate")
# Observations that VecNormalize normalises are taken to lie within so many standard deviations
NORMALIZED_BOUND = 3.0
# A target action this close to its bound counts as saturated; tanh hardly reaches 1
SATURATED = 0.999


class COPDACQ(DeterministicOffPolicyAlgorithm):
    """
    Compatible Off-Policy Deterministic Actor-Critic with a Q-learning critic (COPDAC-Q), or with a gradient Q-learning critic
    (COPDAC-GQ).

    Paper: https://proceedings.mlr.press/v32/silver14.pdf (Silver et al. 2014, section 4.3)

    It learns online, as in the paper: each step in the environment makes one update from that transition (from the mean over
    the newest transitions of all environments, where there are several). With ``buffer_size`` above 1 it learns from
    minibatches of a replay buffer instead, with all of SB3's options for that.

    Step sizes are per active feature: each is divided by the number of features that are nonzero at once (``n_active`` of the
    features: the number of tilings for tile coding, with which a ``value_learning_rate`` of 1 corrects all of a state's TD
    error at once; 1 for the networks of ``MlpPolicy``). With ``LinearPolicy`` rewards need no scaling: multiplying all of them
    by c has the same effect as multiplying ``actor_learning_rate`` by c, as long as TD errors stay below ``max_td_error``.

    :param policy: The policy model to use (LinearPolicy, MlpPolicy)
    :param env: The environment to learn from (if registered in Gym, can be str)
    :param learning_rate: Step size of whatever has none of its own; each of the step sizes is a number, a schedule of the
        progress remaining (from 1 to 0) or a string such as ``"lin_0.2_0.02"``. None: 0.2 for ``LinearPolicy``, 0.001 for
        ``MlpPolicy``
    :param buffer_size: 1: learn online from the newest transition of each environment. Otherwise the size of the replay
        buffer, in transitions
    :param learning_starts: How many steps to collect by uniformly random actions, without noise, before learning starts
    :param batch_size: Minibatch size for each update from a replay buffer
    :param gamma: The discount factor, in [0, 1]
    :param train_freq: Update the model every ``train_freq`` steps, or a tuple of frequency and unit like ``(2, "episode")``;
        online it is 1
    :param gradient_steps: How many updates to do after each rollout, -1: as many as steps done in the environment
    :param action_noise: Exploration noise: an SB3 ``ActionNoise`` or a specification such as
        ``{"type": "ornstein-uhlenbeck", "sigma": "lin_0.5_0.05"}``
    :param replay_buffer_class: Replay buffer class to use, None: selected automatically
    :param replay_buffer_kwargs: Keyword arguments to pass to the replay buffer on creation
    :param optimize_memory_usage: Enable a memory efficient variant of the replay buffer at a cost of more complexity
    :param n_steps: When n_steps > 1, uses n-step returns (with SB3's ``NStepReplayBuffer``); needs a replay buffer
    :param actor_learning_rate: alpha_theta, step size of the policy. None: 0.01 for ``LinearPolicy``, 0.0001 for ``MlpPolicy``
    :param advantage_learning_rate: alpha_w, step size of the advantage; None, here and below: ``learning_rate``
    :param value_learning_rate: alpha_v, step size of the value
    :param gradient_q: True: COPDAC-GQ, the paper's gradient Q-learning critic. ``"full"``: gradient Q-learning with all
        features of the critic in its correction, which stays stable under zero-mean exploration too. False: COPDAC-Q
    :param correction_learning_rate: alpha_u, step size of gradient Q-learning's correction
    :param natural_gradient: Whether the actor follows the natural gradient, theta += alpha_theta w
    :param max_td_error: Training stops with a :class:`~sb3_dpg.common.divergence.DivergenceError` where an absolute TD
        error exceeds this number, in units of the rewards
    :param stats_window_size: Window size for the rollout logging, in episodes
    :param tensorboard_log: The log location for tensorboard (if None, no logging)
    :param policy_kwargs: Additional arguments to be passed to the policy, see :class:`LinearPolicy` and :class:`MlpPolicy`
    :param verbose: Verbosity level: 0 for no output, 1 for info messages, 2 for debug messages
    :param seed: Seed for the pseudo random generators
    :param device: Device (cpu, cuda, ...) on which the code should be run; "auto": the CPU, the fastest for online learning
    :param _init_setup_model: Whether or not to build the network at the creation of the instance
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range, the actions are not a bounded ``Box``, or the features need bounds
        that the observations do not have
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "LinearPolicy": LinearPolicy,
        "MlpPolicy": MlpPolicy,
    }
    policy_base = CompatiblePolicy
    auto_device = "cpu"
    policy_class: type[CompatiblePolicy]
    policy: CompatiblePolicy

    def __init__(
        self,
        policy: str | type[CompatiblePolicy],
        env: GymEnv | str,
        learning_rate: float | str | Schedule | None = None,
        buffer_size: int = 1,
        learning_starts: int = 0,
        batch_size: int = 64,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | Mapping[str, Any] | None = None,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        *,
        actor_learning_rate: float | str | Schedule | None = None,
        advantage_learning_rate: float | str | Schedule | None = None,
        value_learning_rate: float | str | Schedule | None = None,
        gradient_q: bool | str = False,
        correction_learning_rate: float | str | Schedule | None = None,
        natural_gradient: bool = False,
        max_td_error: float = 1e6,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate,  # type: ignore[arg-type]  # may be a string or None until _check_arguments
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            gamma=gamma,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            action_noise=action_noise,
            replay_buffer_class=replay_buffer_class,
            replay_buffer_kwargs=replay_buffer_kwargs,
            optimize_memory_usage=optimize_memory_usage,
            n_steps=n_steps,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
        )
        self.actor_learning_rate = actor_learning_rate
        self.advantage_learning_rate = advantage_learning_rate
        self.value_learning_rate = value_learning_rate
        self.correction_learning_rate = correction_learning_rate
        self.gradient_q = gradient_q
        self.natural_gradient = natural_gradient
        self.max_td_error = max_td_error
        # Saved: a model that is loaded without its VecNormalize has the same features
        self._features_bound: float | None = None

        if _init_setup_model:
            self._setup_model()

    def _check_env(self, env: GymEnv) -> None:
        super()._check_env(env)
        # Before SB3 asks for a MultiInputPolicy, which there is none of
        if isinstance(env.observation_space, spaces.Dict):
            raise ValueError(
                f"observation_space={env.observation_space} is not supported by COPDACQ: "
                "flatten it by gymnasium.wrappers.FlattenObservation"
            )

    def _check_arguments(self) -> None:
        if self.learning_rate is None:
            self.learning_rate = self.policy_class.default_learning_rate
        if self.actor_learning_rate is None:
            self.actor_learning_rate = self.policy_class.default_actor_learning_rate
        super()._check_arguments()
        if self.replay_buffer_class is None and self.buffer_size == 1:
            self.replay_buffer_class = LatestTransitions
        if self.replay_buffer_class is LatestTransitions:
            self._check_online()
        check_type("gradient_q", self.gradient_q, bool, str)
        if self.gradient_q not in GRADIENT_Q:
            raise ValueError(
                f"gradient_q={self.gradient_q!r} is unknown: it must be one of {', '.join(map(repr, GRADIENT_Q))}"
            )
        check_type("natural_gradient", self.natural_gradient, bool)
        check_real("max_td_error", self.max_td_error, 0.0, low_open=True)

    def _check_online(self) -> None:
        """Refuse what needs more than the newest transition."""
        every_step = self.train_freq in (1, (1, "step"), TrainFreq(1, TrainFrequencyUnit.STEP))
        for name, allowed, reason in (
            ("train_freq", every_step, "would throw away transitions"),
            ("n_steps", self.n_steps == 1, "needs more than the newest step"),
            ("optimize_memory_usage", not self.optimize_memory_usage, "needs transitions that share an observation"),
        ):
            if not allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} {reason}: online learning (buffer_size=1) uses each transition as it "
                    f"comes and keeps no other; pass a larger buffer_size, or leave {name} out"
                )

    def _setup_lr_schedule(self) -> None:
        super()._setup_lr_schedule()
        rates = {name: getattr(self, name) for name in LEARNING_RATES}
        self._schedules = [None if rate is None else parse_learning_rate(name, rate) for name, rate in rates.items()]

    def _setup_model(self) -> None:
        if self._features_bound is None:
            self._features_bound = self._normalized_bound()
        super()._setup_model()
        self._tiles = self._tile_policy()

    def _check_normalization(self) -> None:
        super()._check_normalization()
        bound, names = self._normalized_bound(), ("features_extractor_kwargs", "value_features_extractor_kwargs")
        own_bounds = any({"low", "high"} & (self.policy_kwargs.get(name) or {}).keys() for name in names)
        if bound is None or own_bounds:
            return
        # Features keep the bound that they were made with, whatever clip_obs is now
        low = -(self._features_bound or bound)
        for features in self.policy.modules():
            if isinstance(features, BoundedFeatures) and not th.equal(features.low, th.full_like(features.low, low)):
                raise ValueError(
                    "VecNormalize normalises the observations, but the features have the bounds of those before: give the "
                    "environment with VecNormalize to the constructor, or features_extractor_kwargs=dict(low=-3, high=3)"
                )

    def _tile_policy(self) -> TilePolicy | None:
        """The policy on NumPy arrays, None where there cannot be one."""
        online = isinstance(self.replay_buffer, LatestTransitions)
        return TilePolicy(self.policy) if online and TilePolicy.supports(self.policy) else None

    def _follow_parameters(self) -> None:
        """Where the policy is another one, or has got other memory, as by SB3's ``load_from_vector``, the arrays follow."""
        if self._tiles is not None and not (self._tiles.policy is self.policy and self._tiles.shares_memory()):
            self._tiles = self._tile_policy()

    def _normalized_bound(self) -> float | None:
        # The observation space still has the bounds of the observations before normalisation
        normalize = self._vec_normalize_env
        if normalize is None or not normalize.norm_obs:
            return None
        return min(NORMALIZED_BOUND, normalize.clip_obs)

    def _complete_policy_kwargs(self) -> dict[str, Any]:
        # With bounds of normalised observations for features that need bounds and got none
        policy_kwargs = super()._complete_policy_kwargs()
        if self._features_bound is None:
            return policy_kwargs
        bounds = {"low": -self._features_bound, "high": self._features_bound}
        of_mu = policy_kwargs.get("features_extractor_class")
        if of_mu is None and issubclass(self.policy_class, LinearPolicy):
            of_mu = default_features(self.observation_space)[0]
        of_value = policy_kwargs.get("value_features_extractor_class")
        if of_value is None and policy_kwargs.get("value_features_extractor_kwargs"):
            of_value = of_mu
        bounded = dict(policy_kwargs)
        for name, extractor in (("features_extractor", of_mu), ("value_features_extractor", of_value)):
            if extractor is not None and issubclass(features_class(f"{name}_class", extractor), BoundedFeatures):
                bounded[f"{name}_kwargs"] = bounds | (policy_kwargs.get(f"{name}_kwargs") or {})
        return bounded

    def learning_rates(self) -> dict[str, float]:
        """The learning rates at this time of training, by the names of the constructor's arguments."""
        schedules = [self.lr_schedule if schedule is None else schedule for schedule in self._schedules]
        rates = [schedule(self._current_progress_remaining) for schedule in schedules]
        return dict(zip(LEARNING_RATES, rates, strict=True))

    def step_sizes(self) -> StepSizes:
        """The same per active feature, as they multiply the gradients."""
        actor, advantage, value, correction = self.learning_rates().values()
        of_mu, of_value = self.policy.actor_n_active, self.policy.value_n_active
        return StepSizes(
            theta=actor / of_mu, w=advantage / of_mu, v=value / of_value, u=correction / of_mu, u_v=correction / of_value
        )

    @th.no_grad()
    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """
        Update policy and critic from the newest transitions, or from minibatches of the replay buffer.

        :param gradient_steps: Number of updates
        :param batch_size: Transitions in a minibatch; online all newest ones count
        :raises DivergenceError: if a TD error is not finite or too large; good weights are back in place by then
        """
        self._follow_parameters()
        step_sizes = self.step_sizes()
        assert self.replay_buffer is not None
        for _ in range(gradient_steps):
            if self._tiles is not None and isinstance(self.replay_buffer, LatestTransitions):
                self.update(self._tiles, self.replay_buffer.latest(self._vec_normalize_env), step_sizes)
            else:
                self.update(self.policy, self.replay_buffer.sample(batch_size, self._vec_normalize_env), step_sizes)

    def update(self, policy: CompatibleFunctions[ArrayT], replay_data: Any, step_sizes: StepSizes) -> None:
        """
        One update: all increments are computed before any is applied.

        :param policy: The policy, or what does the same on NumPy arrays
        :param replay_data: A batch of transitions, in the same kind of arrays
        :param step_sizes: What multiplies the gradients
        :raises DivergenceError: if a TD error is not finite or too large; good weights are back in place by then
        """
        batch, weights = linearised(policy, replay_data, self.gamma), policy.weights
        delta = td_error(batch, weights)
        magnitude = abs(delta)
        largest = float(magnitude.max())
        if not (math.isfinite(largest) and largest <= self.max_td_error):
            limit = f", above max_td_error={self.max_td_error:g} (raise it if rewards are of that size)"
            raise self._diverged(
                f"training diverges: a TD error of {largest:g} at step {self.num_timesteps}, after {self._n_updates} updates"
                f"{limit if math.isfinite(largest) else ''}."
            )
        if self._guard.is_due_after < self._n_updates:
            self._guard.keep(self._n_updates, self.get_parameters())
        increments = copdac_q(batch, delta, weights, step_sizes, self.natural_gradient)
        if self.gradient_q:
            increments += gradient_q_correction(batch, delta, weights, step_sizes, self.gradient_q == "full")
        for increment in increments:
            increment.apply()
        self._n_updates += 1
        self.logger.record_mean("train/td_error", float(magnitude.sum()) / len(magnitude))
        n_saturated = float((abs(batch.mu.value) >= SATURATED).sum())
        self.logger.record_mean("train/action_saturation", n_saturated / batch.offset.shape[1] / len(delta))

    def _scaled_action(self) -> np.ndarray:
        self._follow_parameters()
        if self._tiles is None or type(self).predict is not OffPolicyAlgorithm.predict:
            return super()._scaled_action()
        # Without the way through tensors and through the unscaled action and back
        assert isinstance(self._last_obs, np.ndarray)
        return self._tiles.actions(self._last_obs)

    def _advice(self) -> str:
        rates = ", ".join(f"{name}={rate:g}" for name, rate in self.learning_rates().items())
        return f"The step sizes are {rates}: lower them, or normalise rewards."

    def dump_logs(self) -> None:
        if "train/td_error" in self.logger.name_to_value:
            self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
            for name, weights in vars(self.policy.weights).items():
                self.logger.record(f"train/{name}_norm", th.nn.utils.get_total_norm(weights).item())
            for name, rate in self.learning_rates().items():
                self.logger.record(f"train/{name}", rate)
        super().dump_logs()

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_tiles", "_schedules"]
