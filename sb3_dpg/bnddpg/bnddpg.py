"""DDPG with batch normalisation that works."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MethodType
from typing import Any, ClassVar, TypeVar

import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, ReplayBufferSamples, Schedule, TensorDict
from stable_baselines3.common.utils import FloatSchedule, update_learning_rate
from torch import nn
from torch.nn import functional as F

from sb3_dpg.bnddpg.networks import Actor, Critic
from sb3_dpg.bnddpg.paper import paper_kwargs
from sb3_dpg.bnddpg.policies import BNDDPGPolicy, CnnPolicy, MlpPolicy, MultiInputPolicy
from sb3_dpg.common.batch_norm import BatchNormStatistics
from sb3_dpg.common.checks import check_integer, check_rate, check_real, check_type
from sb3_dpg.common.off_policy_algorithm import DeterministicOffPolicyAlgorithm
from sb3_dpg.common.updates import gradient_step, join, polyak_update, without_gradients

SelfBNDDPG = TypeVar("SelfBNDDPG", bound="BNDDPG")

BATCH_NORM_MODES = ("joint", "target-batch", "running", "none")


class BNDDPG(DeterministicOffPolicyAlgorithm):
    """
    Deep Deterministic Policy Gradient (DDPG) with batch normalisation.

    DDPG paper: https://arxiv.org/abs/1509.02971 (Lillicrap et al. 2016)
    Deterministic Policy Gradient: https://proceedings.mlr.press/v32/silver14.pdf (Silver et al. 2014)
    The joint forward pass follows CrossQ: https://arxiv.org/abs/1902.05605 (Bhatt et al. 2024), which has no target networks;
    here they are kept.

    With ``policy_delay=2``, ``target_policy_noise=0.2``, ``target_noise_clip=0.5`` and two critics
    (``policy_kwargs=dict(n_critics=2)``) this is TD3 (Fujimoto et al. 2018, https://arxiv.org/abs/1802.09477) with batch
    normalisation; with ``batch_norm_mode="none"`` it is DDPG or TD3 as in SB3, update for update (but for the target of a
    features extractor that actor and critic share: it moves once an update here, twice in SB3).

    :param policy: The policy model to use (MlpPolicy, CnnPolicy, MultiInputPolicy)
    :param env: The environment to learn from (if registered in Gym, can be str)
    :param learning_rate: Learning rate of the critic, and of the actor where it has none of its own:
        a number or a schedule of the progress remaining (from 1 to 0)
    :param buffer_size: Size of the replay buffer, in transitions
    :param learning_starts: How many steps to collect by uniformly random actions before learning starts
    :param batch_size: Minibatch size for each gradient update, at least 2 with batch normalisation
    :param tau: The soft update coefficient ("polyak update", in (0, 1])
    :param gamma: The discount factor, in [0, 1]
    :param train_freq: Update the model every ``train_freq`` steps. Alternatively pass a tuple of frequency and unit
        like ``(5, "step")`` or ``(2, "episode")``
    :param gradient_steps: How many gradient steps to do after each rollout, -1: as many as steps done in the environment
    :param action_noise: Exploration noise: an SB3 ``ActionNoise`` or a specification such as
        ``{"type": "ornstein-uhlenbeck", "sigma": "lin_0.5_0.05"}``
    :param replay_buffer_class: Replay buffer class to use (for instance ``HerReplayBuffer``), None: selected automatically
    :param replay_buffer_kwargs: Keyword arguments to pass to the replay buffer on creation
    :param optimize_memory_usage: Enable a memory efficient variant of the replay buffer at a cost of more complexity
    :param n_steps: When n_steps > 1, uses n-step returns (with SB3's ``NStepReplayBuffer``)
    :param actor_learning_rate: Learning rate of the actor, a number or a schedule; None: the same as ``learning_rate``
    :param policy_delay: Actor and target networks are updated once every ``policy_delay`` gradient steps
    :param target_policy_noise: Standard deviation of the Gaussian noise on the target action (TD3's smoothing, 0 for none)
    :param target_noise_clip: Limit for the absolute value of that noise
    :param batch_norm_mode: Which statistics normalise the targets. ``"joint"``: critic and target critic each see the batch
        [(s, a); (s', mu'(s'))] at once, so that both halves are normalised by the statistics of their mixture.
        ``"target-batch"``: target networks are normalised by the statistics of their own batch. ``"running"``: target
        networks use copies of the running statistics (what SB3 does for custom networks; fails on some seeds, kept for
        comparison). ``"none"``: no batch normalisation.
    :param gradient_clip: Largest norm of the gradient of each network, None for no limit
    :param compile: Compile both losses by ``torch.compile``, meant for GPUs: on the CPU it is slower (docs/speed.md). Needs a
        C++ compiler, costs up to a minute at the first update
    :param stats_window_size: Window size for the rollout logging, in episodes
    :param tensorboard_log: The log location for tensorboard (if None, no logging)
    :param policy_kwargs: Additional arguments to be passed to the policy, see :class:`BNDDPGPolicy`
    :param verbose: Verbosity level: 0 for no output, 1 for info messages, 2 for debug messages
    :param seed: Seed for the pseudo random generators
    :param device: Device (cpu, cuda, ...) on which the code should be run, "auto": the GPU if possible
    :param _init_setup_model: Whether or not to build the network at the creation of the instance
    :raises TypeError: if an argument has the wrong type
    :raises ValueError: if an argument is out of its range or the actions are not a bounded ``Box``
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
    }
    policy_base = BNDDPGPolicy
    policy: BNDDPGPolicy
    actor: Actor
    actor_target: Actor
    critic: Critic
    critic_target: Critic

    paper_kwargs = staticmethod(paper_kwargs)

    def __init__(
        self,
        policy: str | type[BNDDPGPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        buffer_size: int = 1_000_000,  # 1e6
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | Mapping[str, Any] | None = None,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        *,
        actor_learning_rate: float | Schedule | None = None,
        policy_delay: int = 1,
        target_policy_noise: float = 0.0,
        target_noise_clip: float = 0.5,
        batch_norm_mode: str = "joint",
        gradient_clip: float | None = None,
        compile: bool = False,
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
            learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            tau=tau,
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
        self.policy_delay = policy_delay
        self.target_policy_noise = target_policy_noise
        self.target_noise_clip = target_noise_clip
        self.batch_norm_mode = batch_norm_mode
        self.gradient_clip = gradient_clip
        self.compile = compile

        if _init_setup_model:
            self._setup_model()

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if self.batch_norm_mode not in BATCH_NORM_MODES:
            raise ValueError(
                f"batch_norm_mode={self.batch_norm_mode!r} is unknown: it must be one of {', '.join(BATCH_NORM_MODES)}"
            )
        check_integer("policy_delay", self.policy_delay, 1)
        check_type("compile", self.compile, bool)
        check_real("target_policy_noise", self.target_policy_noise, 0.0)
        check_real("target_noise_clip", self.target_noise_clip, 0.0)
        if self.gradient_clip is not None:
            check_real("gradient_clip", self.gradient_clip, 0.0, low_open=True)
        if self.actor_learning_rate is not None:
            check_rate("actor_learning_rate", self.actor_learning_rate)
        if "batch_norm" in self.policy_kwargs:
            raise ValueError(
                "policy_kwargs must not hold 'batch_norm': batch_norm_mode says whether the networks are normalised"
            )
        self._check_batch_size(self.batch_size)

    def _check_batch_size(self, batch_size: int) -> None:
        if self.batch_norm_mode != "none" and batch_size < 2:
            raise ValueError(
                f"batch_size={batch_size} is too small for batch_norm_mode={self.batch_norm_mode!r}: a batch of one "
                "transition has no variance to normalise by; use at least 2 or batch_norm_mode='none'"
            )

    def _complete_policy_kwargs(self) -> dict[str, Any]:
        return super()._complete_policy_kwargs() | dict(batch_norm=self.batch_norm_mode != "none")

    def _setup_model(self) -> None:
        super()._setup_model()
        self._create_aliases()
        self._critic_loss, self._actor_loss = self.critic_loss, self.actor_loss
        if self.compile:
            # Bound after compiling: a deep copy of the model then computes its own losses, not those of this one
            self._critic_loss, self._actor_loss = (
                MethodType(th.compile(loss), self) for loss in (type(self).critic_loss, type(self).actor_loss)
            )
        self._actor_parameters = list(self.actor.parameters())
        self._critic_parameters = list(self.critic.own_parameters())
        # Modules that both networks were given learn from both losses
        of_actor = set(self._actor_parameters)
        self._critic_only_parameters = [parameter for parameter in self._critic_parameters if parameter not in of_actor]
        self._online_parameters: list[th.Tensor] = [*self._actor_parameters, *self._critic_parameters]
        # SB3 counts a shared features extractor among the critic's too, and so moves its target twice an update
        self._target_parameters: list[th.Tensor] = [*self.actor_target.parameters(), *self.critic_target.own_parameters()]
        self._actor_norm = BatchNormStatistics(self.actor)
        self._critic_norm = BatchNormStatistics(self.critic)
        # The statistics of a shared features extractor move with the actor's loss alone, as its weights do
        self._shared_norm = BatchNormStatistics(
            nn.ModuleList([self.critic.features_extractor] if self.critic.share_features_extractor else [])
        )
        self._actor_target_norm = BatchNormStatistics(self.actor_target)
        self._critic_target_norm = BatchNormStatistics(self.critic_target)

    @property
    def actor_lr_schedule(self) -> Schedule:
        """Learning rate of the actor as a function of the progress remaining."""
        return self.lr_schedule if self.actor_learning_rate is None else FloatSchedule(self.actor_learning_rate)

    def _create_aliases(self) -> None:
        self.actor = self.policy.actor
        self.actor_target = self.policy.actor_target
        self.critic = self.policy.critic
        self.critic_target = self.policy.critic_target

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """
        Do gradient steps on minibatches of the replay buffer (DDPG paper, algorithm 1).

        :param gradient_steps: Number of updates of the critic; actor and targets follow every ``policy_delay``
        :param batch_size: Transitions in a minibatch
        :raises ValueError: if the batch is too small for batch normalisation
        :raises DivergenceError: if a loss is not finite; good weights are back in place by then
        """
        self._check_batch_size(batch_size)
        self.policy.set_training_mode(True)
        self._update_learning_rates()

        actor_losses, critic_losses = [], []
        for _ in range(gradient_steps):
            self._n_updates += 1
            data = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
            critic_loss = self._critic_loss(data)
            gradient_step(self.critic.optimizer, critic_loss, self._critic_parameters, self.gradient_clip)
            critic_losses.append(critic_loss.detach())
            if self._n_updates % self.policy_delay == 0:
                with without_gradients(self._critic_only_parameters):
                    actor_loss = self._actor_loss(data)
                gradient_step(self.actor.optimizer, actor_loss, self._actor_parameters, self.gradient_clip)
                actor_losses.append(actor_loss.detach())
                self.update_targets()

        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self._record_losses(critic=critic_losses, actor=actor_losses)
        self._guard.update(gradient_steps, self.get_parameters)

    def _record_losses(self, **losses: list[th.Tensor]) -> None:
        """
        :param losses: Losses of each network's gradient steps, by network
        :raises DivergenceError: if one is not finite
        """
        for name, values in losses.items():
            if len(values) == 0:
                continue
            mean = th.stack(values).mean().item()
            self.logger.record(f"train/{name}_loss", mean)
            if not math.isfinite(mean):
                raise self._diverged(
                    f"training diverges: the {name}'s loss is {mean:g} at step {self.num_timesteps}, at or before gradient "
                    f"step {self._n_updates}."
                )

    def _advice(self) -> str:
        buffer = self.replay_buffer
        assert buffer is not None
        reward = abs(buffer.rewards[: buffer.size()]).max(initial=0.0)
        rates = [schedule(self._current_progress_remaining) for schedule in (self.lr_schedule, self.actor_lr_schedule)]
        return (
            f"Likely causes: rewards that are too large (the largest in the replay buffer is {reward:g}; see VecNormalize) or "
            f"learning rates that are too high (critic {rates[0]:g}, actor {rates[1]:g}; gradient_clip limits the steps, "
            f"here it is {self.gradient_clip}), or observations whose squares overflow."
        )

    def _update_learning_rates(self) -> None:
        critic_rate = self.lr_schedule(self._current_progress_remaining)
        actor_rate = self.actor_lr_schedule(self._current_progress_remaining)
        update_learning_rate(self.critic.optimizer, critic_rate)
        update_learning_rate(self.actor.optimizer, actor_rate)
        self.logger.record("train/learning_rate", critic_rate)
        if self.actor_learning_rate is not None:
            self.logger.record("train/actor_learning_rate", actor_rate)

    def critic_loss(self, data: ReplayBufferSamples) -> th.Tensor:
        """
        Sum over the critics of the mean squared TD error (DDPG paper, equations 4 and 5).

        :param data: A minibatch of transitions
        :return: The loss, a scalar
        """
        observations: th.Tensor | TensorDict = data.observations
        next_observations: th.Tensor | TensorDict = data.next_observations
        actions = data.actions
        with th.no_grad(), self._target_statistics():
            next_actions = self.target_actions(next_observations)
            if self.batch_norm_mode == "joint":
                # (s, a) and (s', mu'(s')) are distributed differently: normalised apart, each by its own statistics, one and
                # the same state-action pair would have two different values
                observations = next_observations = join(observations, next_observations)
                actions = next_actions = th.cat([actions, next_actions])
            targets = self.target_values(data, self.critic_target(next_observations, next_actions))
        with self._shared_norm.from_batch():
            q_values = self.critic(observations, actions)
        # joint: (2 * batch_size, 1) -> (batch_size, 1), the half of the current pairs
        loss = sum(F.mse_loss(q[: len(targets)], targets) for q in q_values)
        assert isinstance(loss, th.Tensor)  # for mypy: there is at least one critic
        return loss

    @contextmanager
    def _target_statistics(self) -> Iterator[None]:
        """The statistics that normalise the target networks, see ``batch_norm_mode``."""
        if self.batch_norm_mode in ("joint", "target-batch"):
            # Running statistics of their own: Batch Renormalisation corrects by them, and those of the online networks do not
            # fit activations of weights that lag behind
            with self._actor_target_norm.in_training(), self._critic_target_norm.in_training():
                yield
        else:
            yield

    def target_actions(self, next_observations: th.Tensor | TensorDict) -> th.Tensor:
        """
        mu'(s'), with TD3's smoothing where it is asked for (TD3 paper, equation 15).

        :param next_observations: s', the first axis is the batch
        :return: Actions scaled to [-1, 1], (batch_size, action_dim)
        """
        actions = self.actor_target(next_observations)
        if self.target_policy_noise > 0:
            noise = th.empty_like(actions).normal_(0, self.target_policy_noise)
            actions = (actions + noise.clamp(-self.target_noise_clip, self.target_noise_clip)).clamp(-1, 1)
        return actions

    def target_values(self, data: ReplayBufferSamples, next_q_values: tuple[th.Tensor, ...]) -> th.Tensor:
        """
        y = r + gamma (1 - terminated) min_i Q'_i(s', mu'(s')) (DDPG paper, equation 5; TD3 paper, equation 10).

        :param data: A minibatch of transitions
        :param next_q_values: Values of the target critics, n_critics times at least batch_size rows, the last count
        :return: The critics' targets, (batch_size, 1)
        """
        next_q = next_q_values[0] if len(next_q_values) == 1 else th.cat(next_q_values, dim=1).amin(dim=1, keepdim=True)
        # n-step buffers come with the discount of each return's length
        discounts = self.gamma if data.discounts is None else data.discounts
        return data.rewards + (1 - data.dones) * discounts * next_q[-len(data.rewards) :]

    def actor_loss(self, data: ReplayBufferSamples) -> th.Tensor:
        """
        -E[Q(s, mu(s))], whose gradient is the deterministic policy gradient (DDPG paper, equation 6).

        :param data: A minibatch of transitions
        :return: The loss, a scalar
        """
        actions = self.actor(data.observations)
        # The pairs (s, mu(s)) are no batch that the critic was fitted on: it must neither be normalised by their statistics
        # nor keep them
        with self._critic_norm.from_running():
            return -self.critic.q1_forward(data.observations, actions).mean()

    def update_targets(self) -> None:
        """
        theta' <- tau theta + (1 - tau) theta' for both target networks (DDPG paper, algorithm 1). Running statistics are
        copied, as in SB3, where the target networks are normalised by them: in the mode ``"running"``, and in ``"none"``
        those of a features extractor that has some. In the other modes the target networks have their own.
        """
        polyak_update(self._online_parameters, self._target_parameters, self.tau)
        if self.batch_norm_mode in ("running", "none"):
            self._actor_target_norm.copy_from(self._actor_norm)
            self._critic_target_norm.copy_from(self._critic_norm)

    def learn(
        self: SelfBNDDPG,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "BNDDPG",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfBNDDPG:
        return super().learn(
            total_timesteps=total_timesteps,
            callback=callback,
            log_interval=log_interval,
            tb_log_name=tb_log_name,
            reset_num_timesteps=reset_num_timesteps,
            progress_bar=progress_bar,
        )

    def _excluded_save_params(self) -> list[str]:
        built = ["actor", "critic", "actor_target", "critic_target", "_critic_loss", "_actor_loss"]
        parameters = [f"_{name}_parameters" for name in ("actor", "critic", "critic_only", "online", "target")]
        statistics = [f"_{name}_norm" for name in ("actor", "critic", "shared", "actor_target", "critic_target")]
        return [*super()._excluded_save_params(), *built, *parameters, *statistics]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "actor.optimizer", "critic.optimizer"], []
