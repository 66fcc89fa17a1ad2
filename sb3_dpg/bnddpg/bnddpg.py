"""A deterministic policy gradient with batch normalisation that works."""

import math
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, ReplayBufferSamples, Schedule, TensorDict
from stable_baselines3.common.utils import polyak_update, update_learning_rate
from torch import nn
from torch.nn import functional as F

from sb3_dpg.bnddpg.policies import Actor, BNDDPGPolicy, CnnPolicy, Critic, MlpPolicy, MultiInputPolicy
from sb3_dpg.bnddpg.presets import ddpg_kwargs, paper_kwargs, td3_kwargs
from sb3_dpg.common.checks import check_integer, check_real, check_type
from sb3_dpg.common.off_policy_algorithm import DeterministicOffPolicyAlgorithm
from sb3_dpg.common.schedules import parse_learning_rate
from sb3_dpg.common.torch_layers import batch_norm_statistics

#: The exploration of the default: noise that lasts for some steps, and at times an offset that is held for dozens. Both fade
DEFAULT_ACTION_NOISE: dict[str, Any] = dict(
    type="ornstein-uhlenbeck",
    std="lin_0.3_0.05",
    theta=0.15,
    initial="stationary",
    hold=dict(probability="lin_0.02_0_0.5"),
)
#: The actor's learning rate, where it is given none of its own, beside the critic's
ACTOR_RATE = 0.3
TARGET_NOISE_CLIP = 0.5
TARGET_MIN_WEIGHT = 0.75


def has_bfloat16(device: th.device) -> bool:
    """Whether it is a CPU with instructions for products in bfloat16, and a PyTorch that knows and uses them."""
    capabilities: dict[str, Any] = getattr(th.cpu, "get_capabilities", dict)()
    has_instructions = any(name.endswith("bf16") and has for name, has in capabilities.items())
    return device.type == "cpu" and has_instructions and th.backends.mkldnn.is_available()


# One compiled function for all models of a class
compiled = lru_cache(th.compile)


class BNDDPG(DeterministicOffPolicyAlgorithm):
    """
    Deep deterministic policy gradient with batch normalisation.

    Two batch-normalised critics see each batch of pairs (s, a) and the pairs (s', mu(s')) that follow in one joint pass, so
    that both are normalised by the statistics of their mixture; the values of the second half, three parts of the smaller and
    one of the larger, are the targets of the first. There are no target networks. This is CrossQ's critic
    (Bhatt et al. 2024, https://arxiv.org/abs/1902.05605) for a deterministic actor, which climbs the mean of both, is smoothed
    and slow as in TD3 (Fujimoto et al. 2018, https://arxiv.org/abs/1802.09477), explores by an Ornstein-Uhlenbeck process and
    by offsets that are held (Dabney et al. 2021, https://arxiv.org/abs/2006.01782), which fade, and acts by a running average
    of its weights.

    DDPG paper: https://arxiv.org/abs/1509.02971 (Lillicrap et al. 2016)
    Deterministic Policy Gradient: https://proceedings.mlr.press/v32/silver14.pdf (Silver et al. 2014)

    ``BNDDPG.paper_kwargs()`` are the DDPG paper's settings; with ``BNDDPG.ddpg_kwargs()`` and ``BNDDPG.td3_kwargs()`` this is
    SB3's DDPG and TD3, update for update (but for the target of a features extractor that actor and critic share: it moves
    once an update here, twice in SB3).

    :param policy: The policy model to use (MlpPolicy, CnnPolicy, MultiInputPolicy)
    :param env: The environment to learn from (if registered in Gym, can be str)
    :param learning_rate: Learning rate of the critics: a number, a schedule of the progress remaining (from 1 to 0), or a
        string such as ``"lin_1e-3_1e-4"``, see :func:`~sb3_dpg.common.schedules.parse_schedule`
    :param buffer_size: Size of the replay buffer, in transitions
    :param learning_starts: How many steps to collect by uniformly random actions, without noise, before learning starts. A
        batch-normalised model that goes on without its replay buffer collects as many by its own actions first
    :param batch_size: Minibatch size for each gradient update, at least 2 with batch normalisation
    :param tau: The soft update coefficient ("polyak update", in (0, 1]) of the averaged actor, or of the target networks
    :param gamma: The discount factor, in [0, 1]
    :param train_freq: Update the model every ``train_freq`` steps. Alternatively pass a tuple of frequency and unit
        like ``(5, "step")`` or ``(2, "episode")``
    :param gradient_steps: How many gradient steps to do after each rollout, -1: as many as steps done in the environment
    :param action_noise: Exploration noise: an SB3 ``ActionNoise``, a specification such as
        ``{"type": "ornstein-uhlenbeck", "std": "lin_0.5_0.05"}``, or None for none
    :param replay_buffer_class: Replay buffer class to use (for instance ``HerReplayBuffer``), None: selected automatically
    :param replay_buffer_kwargs: Keyword arguments to pass to the replay buffer on creation
    :param optimize_memory_usage: Enable a memory efficient variant of the replay buffer at a cost of more complexity
    :param n_steps: When n_steps > 1, uses n-step returns (with SB3's ``NStepReplayBuffer``)
    :param actor_learning_rate: Learning rate of the actor, as ``learning_rate``; None: 0.3 times the critics'
    :param actor_warmup: The actor's learning rate rises linearly from 0 over this fraction of the steps that ``learn`` is
        called for (in [0, 1], 0: at once), counted from ``learning_starts``, or over as many gradient steps if these are done
        sooner: an actor at full speed beside critics that know nothing settles in what pays first
    :param policy_delay: The actor, and what follows it by ``tau``, are updated once every ``policy_delay`` gradient steps
    :param target_policy_noise: Standard deviation of the Gaussian noise on the next action (TD3's smoothing, 0 for none)
    :param target_noise_clip: Limit for the absolute value of that noise
    :param target_min_weight: Weight of the smallest of the critics' values in the targets, in [0, 1]; the largest has the rest
        (Fujimoto et al. 2019, https://arxiv.org/abs/1812.02900, equation 13; 1: TD3's minimum)
    :param actor_n_critics: How many critics, the first ones, the actor's loss averages; None: all (TD3: 1)
    :param batch_norm: Whether actor and critics are batch-normalised
    :param target_networks: Whether the targets come from target networks that follow by ``tau``, as in DDPG and TD3. There is
        no averaged actor then
    :param gradient_clip: Largest norm of the gradient of each network, None for no limit
    :param mixed_precision: Compute the losses' layers between input and output in bfloat16; weights, optimizers, values and
        actions stay in float32, and so do acting and features extractors that are not SB3's. "auto": only with
        ``batch_norm``, on a CPU with instructions for it, where an update takes a quarter less time (docs/speed.md)
    :param compile: Compile both losses by ``torch.compile``: an update takes 22 % less time on a CPU with bfloat16, 10 to 14 %
        without (docs/speed.md). Needs a C++ compiler, on a CUDA GPU also Triton (PyTorch brings it on Linux only), and up to a
        minute at the first update, seconds once PyTorch has cached the code
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
    network_arguments = ("policy", "batch_norm", "target_networks")
    policy: BNDDPGPolicy
    actor: Actor
    critic: Critic

    ddpg_kwargs = staticmethod(ddpg_kwargs)
    paper_kwargs = staticmethod(paper_kwargs)
    td3_kwargs = staticmethod(td3_kwargs)

    def __init__(
        self,
        policy: str | type[BNDDPGPolicy],
        env: GymEnv | str,
        learning_rate: float | str | Schedule = 1e-3,
        buffer_size: int = 1_000_000,  # 1e6
        learning_starts: int = 1000,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | Mapping[str, Any] | None = DEFAULT_ACTION_NOISE,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        *,
        actor_learning_rate: float | str | Schedule | None = None,
        actor_warmup: float = 0.05,
        policy_delay: int = 3,
        target_policy_noise: float = 0.2,
        target_noise_clip: float = TARGET_NOISE_CLIP,
        target_min_weight: float = TARGET_MIN_WEIGHT,
        actor_n_critics: int | None = None,
        batch_norm: bool = True,
        target_networks: bool = False,
        gradient_clip: float | None = None,
        mixed_precision: bool | str = "auto",
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
        self.actor_warmup = actor_warmup
        self.policy_delay = policy_delay
        self.target_policy_noise = target_policy_noise
        self.target_noise_clip = target_noise_clip
        self.target_min_weight = target_min_weight
        self.actor_n_critics = actor_n_critics
        self.batch_norm = batch_norm
        self.target_networks = target_networks
        self.gradient_clip = gradient_clip
        self.mixed_precision = mixed_precision
        self.compile = compile

        if _init_setup_model:
            self._setup_model()

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_integer("policy_delay", self.policy_delay, 1)
        check_real("actor_warmup", self.actor_warmup, 0.0, 1.0)
        for name in ("batch_norm", "target_networks", "compile"):
            check_type(name, getattr(self, name), bool)
        if not (isinstance(self.mixed_precision, bool) or self.mixed_precision == "auto"):
            raise TypeError(f"mixed_precision={self.mixed_precision!r} must be True, False or 'auto'")
        check_real("target_policy_noise", self.target_policy_noise, 0.0, high_open=True)
        check_real("target_noise_clip", self.target_noise_clip, 0.0)
        check_real("target_min_weight", self.target_min_weight, 0.0, 1.0)
        if self.actor_n_critics is not None:
            check_integer("actor_n_critics", self.actor_n_critics, 1)
        if self.gradient_clip is not None:
            check_real("gradient_clip", self.gradient_clip, 0.0, low_open=True)
        if self.batch_norm and self.batch_size < 2:
            self._refuse_batch_size(self.batch_size)
        if not self.batch_norm and not self.target_networks:
            self._warn(
                "has neither batch_norm nor target_networks: nothing holds the targets then, and the values tend to grow "
                "without end. Use target_networks=True, or batch_norm=True."
            )
        if self.target_policy_noise == 0 and self.target_noise_clip != TARGET_NOISE_CLIP:
            self._warn(f"has a target_noise_clip={self.target_noise_clip!r} without effect: target_policy_noise is 0.")

    def _refuse_batch_size(self, batch_size: int) -> NoReturn:
        raise ValueError(
            f"batch_size={batch_size} is too small for batch_norm=True: a batch of one transition has no variance to "
            "normalise by; use at least 2 or batch_norm=False"
        )

    def _complete_policy_kwargs(self) -> dict[str, Any]:
        return self.policy_kwargs | dict(batch_norm=self.batch_norm, target_networks=self.target_networks)

    def _setup_model(self) -> None:
        if hasattr(self, "batch_norm_mode"):
            raise ValueError("the file is of a BNDDPG before version 0.1.0, whose networks were others: train the model again")
        super()._setup_model()
        self._create_aliases()
        if self.actor_n_critics is not None and self.actor_n_critics > self.critic.n_critics:
            raise ValueError(
                f"actor_n_critics={self.actor_n_critics} is more than n_critics={self.critic.n_critics} of the policy: use at "
                "most as many, or None for all"
            )
        # 1 is what the presets say
        if self.critic.n_critics == 1 and self.target_min_weight not in (TARGET_MIN_WEIGHT, 1.0):
            self._warn(
                f"has a target_min_weight={self.target_min_weight!r} without effect: there is one critic.", stacklevel=4
            )

    def _create_aliases(self) -> None:
        self.actor = self.policy.actor
        self.critic = self.policy.critic
        if self.target_networks:
            self.actor_target = self.policy.actor_target
            self.critic_target = self.policy.critic_target

    def _setup_lr_schedule(self) -> None:
        super()._setup_lr_schedule()
        rate = self.actor_learning_rate
        self.actor_lr_schedule = None if rate is None else parse_learning_rate("actor_learning_rate", rate)

    def _scaled_action(self) -> np.ndarray:
        # Not the types': a compiled policy is of another
        methods = [getattr(method, "__func__", None) for method in (self.predict, self.policy.predict, self.policy._predict)]
        if methods != [BNDDPG.predict, BNDDPGPolicy.predict, BNDDPGPolicy._predict]:
            # What a subclass does to actions, such as a limit for safety, it does to those that explore too
            return super()._scaled_action()
        # Of the actor that learns, not of its average
        action, _ = self.actor.predict(self._last_obs)  # type: ignore[arg-type]
        return self.policy.scale_action(action)

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """
        Do gradient steps on minibatches of the replay buffer (DDPG paper, algorithm 1). With batch normalisation there is a
        warning and none of them while the replay buffer lacks those of earlier steps and has fewer than ``learning_starts``.

        :param gradient_steps: Number of updates of the critics; the actor follows every ``policy_delay``
        :param batch_size: Transitions in a minibatch
        :raises ValueError: if the batch is too small for batch normalisation
        :raises DivergenceError: if a loss is not finite; good weights are back in place by then
        """
        if self.batch_norm and batch_size < 2:
            # The joint pass has two rows even then
            self._refuse_batch_size(batch_size)
        buffer = self.replay_buffer
        assert buffer is not None
        if self.batch_norm and self._lacks_transitions(buffer):
            return
        self._update_learning_rates()
        critic_loss_fn, actor_loss_fn = self.critic_loss, self.actor_loss
        if self.compile:
            # Of the class, not of the instance: compiled once for all models
            critic_loss_fn = partial(compiled(type(self).critic_loss), self)
            actor_loss_fn = partial(compiled(type(self).actor_loss), self)

        # Not on observations that no layer normalises: bfloat16 does not tell 100.2 from 100
        auto = self.batch_norm and has_bfloat16(self.device)
        mixed_precision = auto if self.mixed_precision == "auto" else bool(self.mixed_precision)
        # Entered anew for each loss: it caches the weights that it has cast until it ends
        autocast = th.autocast(self.device.type, th.bfloat16, enabled=mixed_precision)
        critic_losses, actor_losses = [], []
        for _ in range(gradient_steps):
            self._n_updates += 1
            replay_data = buffer.sample(batch_size, env=self._vec_normalize_env)
            with autocast:
                critic_loss = critic_loss_fn(replay_data, self.next_actions(replay_data.next_observations))
            gradient_step(self.critic.optimizer, critic_loss, self.gradient_clip)
            critic_losses.append(critic_loss.detach())
            if self._n_updates % self.policy_delay == 0:
                with autocast:
                    actor_loss = actor_loss_fn(replay_data)
                gradient_step(self.actor.optimizer, actor_loss, self.gradient_clip)
                actor_losses.append(actor_loss.detach())
                self.update_targets() if self.target_networks else self.update_averaged_actor()

        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, losses in (("critic", critic_losses), ("actor", actor_losses)):
            if len(losses) > 0:
                loss = th.stack(losses).mean().item()
                self.logger.record(f"train/{name}_loss", loss)
                if not math.isfinite(loss):
                    raise self._diverged(
                        f"training diverges: the {name}'s loss is {loss:g} at step {self.num_timesteps}, at or before "
                        f"gradient step {self._n_updates}."
                    )
        if self._guard.is_due_after < self._n_updates:
            self._guard.keep(self._n_updates, self.get_parameters())

    def _lacks_transitions(self, buffer: ReplayBuffer) -> bool:
        """Whether the replay buffer lacks those of earlier steps: copies of a few would spoil the running statistics."""
        wanted = min(self.learning_starts, buffer.buffer_size * buffer.n_envs)
        lacks = buffer.size() * buffer.n_envs < min(self.num_timesteps, wanted)
        if lacks:
            self._warn(
                f"does not learn until its replay buffer has {wanted} transitions: it lacks those of earlier steps. "
                "load_replay_buffer brings them; without them a lower learning_starts makes it learn sooner."
            )
        return lacks

    def _update_learning_rates(self) -> None:
        """Set the rates of both optimizers by their schedules, the actor's by its warm-up too."""
        critic_rate = self.lr_schedule(self._current_progress_remaining)
        actor_rate = ACTOR_RATE * critic_rate
        if self.actor_lr_schedule is not None:
            actor_rate = self.actor_lr_schedule(self._current_progress_remaining)
        # Whichever is ahead: several environments make fewer gradient steps
        warmed_up = max(self._n_updates + 1, self.num_timesteps - self.learning_starts)
        actor_rate *= min(1.0, warmed_up / max(1.0, self.actor_warmup * self._total_timesteps))
        update_learning_rate(self.critic.optimizer, critic_rate)
        update_learning_rate(self.actor.optimizer, actor_rate)
        self.logger.record("train/learning_rate", critic_rate)
        self.logger.record("train/actor_learning_rate", actor_rate)

    def critic_loss(self, replay_data: ReplayBufferSamples, next_actions: th.Tensor) -> th.Tensor:
        """
        Sum over the critics of the mean squared TD error (DDPG paper, equations 4 and 5).

        :param replay_data: A minibatch of transitions
        :param next_actions: mu(s'), see :meth:`next_actions`
        :return: The loss, a scalar
        """
        if self.batch_norm:
            # (s, a) and (s', mu(s')) are distributed differently: normalised apart, each by its own statistics, one and the
            # same pair would have two different values
            observations, next_observations = replay_data.observations, replay_data.next_observations
            if isinstance(observations, dict):
                observations = {key: th.cat([obs, next_observations[key]]) for key, obs in observations.items()}
            else:
                observations = th.cat([observations, next_observations])
            actions = th.cat([replay_data.actions, next_actions])
            # (n_critics, 2 * batch_size, 1) -> twice (n_critics, batch_size, 1)
            current_q_values, next_q_values = self.critic.q_values(observations, actions, train=True).chunk(2, dim=1)
            if self.target_networks:
                with th.no_grad():
                    _, next_q_values = self.critic_target.q_values(observations, actions, train=True).chunk(2, dim=1)
        else:
            current_q_values = self.critic.q_values(replay_data.observations, replay_data.actions, train=True)
            with th.no_grad():
                critic = self.critic_target if self.target_networks else self.critic
                next_q_values = critic.q_values(replay_data.next_observations, next_actions)
        target_q_values = self.target_values(replay_data, next_q_values.detach())
        # The mean over critics and batch, times the number of critics
        return len(current_q_values) * F.mse_loss(current_q_values, target_q_values.expand_as(current_q_values))

    @th.no_grad()
    def next_actions(self, next_observations: th.Tensor | TensorDict) -> th.Tensor:
        """
        mu(s') of the target actor, or without one of the actor itself, normalised by its running statistics; with TD3's
        smoothing (TD3 paper, equation 14).

        :param next_observations: s', the first axis is the batch
        :return: Actions scaled to [-1, 1], (batch_size, action_dim)
        """
        if self.target_networks:
            # Normalised by its batch: the running statistics of the actor do not fit weights that lag behind
            actions = self.actor_target(next_observations, train=self.batch_norm)
        else:
            actions = self.actor(next_observations)
        if self.target_policy_noise > 0:
            noise = th.empty_like(actions).normal_(0, self.target_policy_noise)
            actions = (actions + noise.clamp(-self.target_noise_clip, self.target_noise_clip)).clamp(-1, 1)
        return actions

    def target_values(self, replay_data: ReplayBufferSamples, next_q_values: th.Tensor) -> th.Tensor:
        """
        y = r + gamma (1 - terminated) (lambda min_i Q_i(s', mu(s')) + (1 - lambda) max_i Q_i(s', mu(s'))), where lambda is
        ``target_min_weight`` (DDPG paper, equation 5; BCQ paper, equation 13; with 1 TD3 paper, equation 10).

        :param replay_data: A minibatch of transitions
        :param next_q_values: Values of the pairs (s', mu(s')), (n_critics, batch_size, 1)
        :return: The critics' targets, (batch_size, 1)
        """
        # n-step buffers come with the discount of each return's length
        discounts = self.gamma if replay_data.discounts is None else replay_data.discounts
        next_values = th.lerp(next_q_values.amax(dim=0), next_q_values.amin(dim=0), self.target_min_weight)
        return replay_data.rewards + (1 - replay_data.dones) * discounts * next_values

    def actor_loss(self, replay_data: ReplayBufferSamples) -> th.Tensor:
        """
        -E[Q(s, mu(s))], whose gradient is the deterministic policy gradient (DDPG paper, equation 6).

        :param replay_data: A minibatch of transitions
        :return: The loss, a scalar
        """
        actions = self.actor(replay_data.observations, train=True)
        # The gradient is the actions' alone, as in SB3's `q1_forward`, also where both networks were given one for features
        return -self.q_values(replay_data.observations, actions, features_grad=False).mean()

    def q_values(self, observations: th.Tensor | TensorDict, actions: th.Tensor, features_grad: bool = True) -> th.Tensor:
        """
        Q(s, a) that the actor climbs: the mean of the first ``actor_n_critics`` critics. By running statistics: the pairs
        (s, mu(s)) are no batch that the critics were fitted on, so that they must neither be normalised by their own
        statistics nor leave a trace in the critics'.

        :param observations: s, the first axis is the batch
        :param actions: a, scaled to [-1, 1], (batch_size, action_dim)
        :param features_grad: Whether there are gradients in the critics' features extractor
        :return: Values, (batch_size, 1)
        """
        q_values = self.critic.q_values(observations, actions, n_networks=self.actor_n_critics, features_grad=features_grad)
        return q_values.mean(dim=0)

    @th.no_grad()
    def update_averaged_actor(self) -> None:
        """theta' <- tau theta + (1 - tau) theta' for the averaged actor, running statistics included."""
        actor, averaged = self.actor, self.policy.averaged_actor
        # A plain average at first: the networks of the start are not worth remembering
        self.policy.n_averaged += 1
        tau = max(self.tau, 1.0 / self.policy.n_averaged)
        if tau >= 1.0:
            # Lazy layers have no tensors to move yet
            averaged.load_state_dict(actor.state_dict())
            return
        # Other buffers have no average: an attention's mask is infinite in places
        statistics = {id(buffer) for buffer in batch_norm_statistics(actor) if buffer.is_floating_point()}
        averages: list[th.Tensor] = [*averaged.parameters()]
        tensors: list[th.Tensor] = [*actor.parameters()]
        for averaged_buffer, buffer in zip(averaged.buffers(), actor.buffers(), strict=True):
            if id(buffer) in statistics:
                averages.append(averaged_buffer)
                tensors.append(buffer)
            else:
                averaged_buffer.copy_(buffer)
        th._foreach_lerp_(averages, tensors, tau)

    @th.no_grad()
    def update_targets(self) -> None:
        """
        theta' <- tau theta + (1 - tau) theta' for both target networks (DDPG paper, algorithm 1); buffers, such as running
        statistics, are copied.
        """
        polyak_update(self.actor.parameters(), self.actor_target.parameters(), self.tau)
        polyak_update(self.critic.own_parameters(), self.critic_target.own_parameters(), self.tau)
        for network, target in ((self.actor, self.actor_target), (self.critic, self.critic_target)):
            for buffer, target_buffer in zip(network.buffers(), target.buffers(), strict=True):
                target_buffer.copy_(buffer)

    def _advice(self) -> str:
        buffer = self.replay_buffer
        assert buffer is not None
        reward = abs(buffer.rewards[: buffer.size()]).max(initial=0.0)
        rates = [network.optimizer.param_groups[0]["lr"] for network in (self.critic, self.actor)]
        return (
            f"Likely causes: rewards that are too large (the largest in the replay buffer is {reward:g}; see VecNormalize) or "
            f"learning rates that are too high (critic {rates[0]:g}, actor {rates[1]:g}; gradient_clip limits the steps, "
            f"here it is {self.gradient_clip}), or observations whose squares overflow."
        )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "actor", "critic", "actor_target", "critic_target"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "actor.optimizer", "critic.optimizer"], []


def gradient_step(optimizer: th.optim.Optimizer, loss: th.Tensor, gradient_clip: float | None) -> None:
    """
    One step down the gradient of a loss, for the optimizer's parameters alone.

    :param optimizer: The optimizer; parameters that are frozen (``requires_grad=False``) stay as they are
    :param loss: The loss, a scalar
    :param gradient_clip: Largest norm of the gradient, None for no limit
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"] if parameter.requires_grad]
    if len(parameters) == 0:
        return
    # The optimizer steps whatever has a gradient: one that was frozen since its last step still has that of then
    optimizer.zero_grad()
    # No gradients in the critics' weights from the actor's loss: they are a third of its backward pass
    loss.backward(inputs=parameters)
    if gradient_clip is not None:
        nn.utils.clip_grad_norm_(parameters, gradient_clip)
    optimizer.step()
