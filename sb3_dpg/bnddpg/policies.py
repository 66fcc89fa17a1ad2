"""Policy of BNDDPG: actor and critic, their targets and their optimizers."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
    get_actor_critic_arch,
)
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from sb3_dpg.bnddpg.networks import Actor, Critic
from sb3_dpg.common.checks import check_integer, check_real
from sb3_dpg.common.policies import DeterministicPolicy
from sb3_dpg.common.torch_layers import BatchNorm


class BNDDPGPolicy(DeterministicPolicy):
    """
    Policy of BNDDPG: actor, critic, their targets and their optimizers.

    :param observation_space: Observation space
    :param action_space: Action space, a bounded box
    :param lr_schedule: Learning rate schedule (could be constant)
    :param net_arch: Sizes of the hidden layers, a list or ``dict(pi=[...], qf=[...])``;
        [400, 300] by default, [256, 256] after SB3's ``NatureCNN``, as in SB3
    :param activation_fn: Activation function
    :param features_extractor_class: Features extractor to use, None for the class's ``default_features_extractor``
    :param features_extractor_kwargs: Keyword arguments of the features extractor
    :param normalize_images: Whether to divide images by 255
    :param optimizer_class: The optimizer of both networks
    :param optimizer_kwargs: Additional keyword arguments of the optimizers, excluding the learning rate
    :param critic_optimizer_kwargs: Those that the critic's optimizer has beyond, or in place of, ``optimizer_kwargs``
        (the DDPG paper decays the weights of the critic alone)
    :param n_critics: Number of critic networks; the target is their minimum (TD3)
    :param share_features_extractor: Whether actor and critic share the features extractor
    :param batch_norm: Whether the networks are batch-normalised; set by ``BNDDPG`` from its ``batch_norm_mode``
    :param batch_norm_momentum: Weight of the newest batch in the running statistics, in (0, 1]
    :param batch_norm_eps: Added to the variance, positive
    :param renorm: Use Batch Renormalisation (sb3-contrib's layer) in place of batch normalisation
    :param renorm_warmup_steps: Passes in training mode before renormalisation's corrections begin
    :param action_layer: Hidden layer of Q at which the action enters: 0 the input, 1 as in the paper; at most the number of
        hidden layers
    :param norm_after_action: Whether the layers of Q that have seen the action are normalised too
    :param final_init: Half width of the uniform initialisation of the last layers, None for PyTorch's
    :raises TypeError: if a number has the wrong type
    :raises ValueError: if a number is out of its range
    """

    default_features_extractor: ClassVar[type[BaseFeaturesExtractor]] = FlattenExtractor

    actor: Actor
    actor_target: Actor
    critic: Critic
    critic_target: Critic

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        critic_optimizer_kwargs: dict[str, Any] | None = None,
        n_critics: int = 1,
        share_features_extractor: bool = False,
        batch_norm: bool = True,
        batch_norm_momentum: float = 0.1,
        batch_norm_eps: float = 1e-5,
        renorm: bool = False,
        renorm_warmup_steps: int = 100_000,
        action_layer: int = 0,
        norm_after_action: bool = True,
        final_init: float | None = None,
    ) -> None:
        if features_extractor_class is None:
            features_extractor_class = self.default_features_extractor
        if not callable(features_extractor_class):
            raise TypeError(
                f"features_extractor_class={features_extractor_class!r} must be a subclass of SB3's BaseFeaturesExtractor or "
                "a function that makes one"
            )
        super().__init__(
            observation_space,
            action_space,
            features_extractor_class,
            # SB3 writes into it
            dict(features_extractor_kwargs or {}),
            optimizer_class=optimizer_class,
            optimizer_kwargs=dict(optimizer_kwargs or {}),
            squash_output=True,
            normalize_images=normalize_images,
        )
        check_integer("n_critics", n_critics, 1)
        check_real("batch_norm_momentum", batch_norm_momentum, 0.0, 1.0, low_open=True)
        check_real("batch_norm_eps", batch_norm_eps, 0.0, low_open=True)
        check_integer("renorm_warmup_steps", renorm_warmup_steps, 0)
        if final_init is not None:
            check_real("final_init", final_init, 0.0, low_open=True)
        if net_arch is None:
            net_arch = [256, 256] if features_extractor_class is NatureCNN else [400, 300]
        self.actor_arch, self.critic_arch = get_actor_critic_arch(net_arch)
        check_integer("action_layer", action_layer, 0)
        if action_layer > len(self.critic_arch):
            raise ValueError(
                f"action_layer={action_layer} is too large: the critic has {len(self.critic_arch)} hidden layer(s)"
            )

        self.net_arch = net_arch
        self.activation_fn = activation_fn
        self.critic_optimizer_kwargs = dict(critic_optimizer_kwargs or {})
        self.n_critics = n_critics
        self.share_features_extractor = share_features_extractor
        self.norm = BatchNorm(batch_norm_momentum, batch_norm_eps, renorm, renorm_warmup_steps) if batch_norm else None
        self.norm_kwargs: dict[str, Any] = dict(
            batch_norm=batch_norm,
            batch_norm_momentum=batch_norm_momentum,
            batch_norm_eps=batch_norm_eps,
            renorm=renorm,
            renorm_warmup_steps=renorm_warmup_steps,
        )
        self.action_kwargs: dict[str, Any] = dict(action_layer=action_layer, norm_after_action=norm_after_action)
        self.final_init = final_init
        self._build(lr_schedule)

    def _build(self, lr_schedule: Schedule) -> None:
        """
        Create the networks and their optimizers.

        :param lr_schedule: Learning rate schedule, its value at the start is used
        """
        self.actor = self.make_actor()
        self.actor_target = self.make_actor()
        self.actor_target.load_state_dict(self.actor.state_dict())
        shared = self.share_features_extractor
        self.critic = self.make_critic(self.actor.features_extractor if shared else None)
        self.critic_target = self.make_critic(self.actor_target.features_extractor if shared else None)
        self.critic_target.load_state_dict(self.critic.state_dict())

        self.actor.optimizer = self.make_optimizer(self.actor.parameters(), lr_schedule, {})
        self.critic.optimizer = self.make_optimizer(self.critic.own_parameters(), lr_schedule, self.critic_optimizer_kwargs)
        self.actor_target.set_training_mode(False)
        self.critic_target.set_training_mode(False)

    def _network_kwargs(self, net_arch: list[int], features_extractor: BaseFeaturesExtractor | None) -> dict[str, Any]:
        """
        :param net_arch: Sizes of the hidden layers
        :param features_extractor: The one to use, None for a new one
        :return: The arguments that actor and critic have in common
        """
        common = dict(
            observation_space=self.observation_space,
            action_space=self.action_space,
            net_arch=net_arch,
            activation_fn=self.activation_fn,
            normalize_images=self.normalize_images,
            norm=self.norm,
            final_init=self.final_init,
        )
        return self._update_features_extractor(common, features_extractor)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """
        :param features_extractor: The features extractor to use, None for a new one
        :return: A new actor
        """
        return Actor(**self._network_kwargs(self.actor_arch, features_extractor)).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> Critic:
        """
        :param features_extractor: The features extractor to use, None for a new one
        :return: A new critic
        """
        return Critic(
            **self._network_kwargs(self.critic_arch, features_extractor),
            n_critics=self.n_critics,
            share_features_extractor=self.share_features_extractor,
            **self.action_kwargs,
        ).to(self.device)

    def make_optimizer(
        self, parameters: Iterable[nn.Parameter], lr_schedule: Schedule, kwargs: dict[str, Any]
    ) -> th.optim.Optimizer:
        """
        :param parameters: What to optimise
        :param lr_schedule: Learning rate schedule, its value at the start is used
        :param kwargs: Keyword arguments beyond ``optimizer_kwargs``
        :return: A new optimizer
        """
        kwargs = self.optimizer_kwargs | kwargs
        chosen = any(kwargs.get(name) for name in ("foreach", "capturable", "differentiable"))
        if self.optimizer_class in (th.optim.Adam, th.optim.AdamW) and not chosen:
            # One fused call for all tensors in place of a Python loop over them; an explicit choice of the user's wins
            kwargs = {"fused": True} | kwargs
        try:
            return self.optimizer_class(parameters, lr=lr_schedule(1), **kwargs)  # type: ignore[call-arg]
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"optimizer_kwargs={kwargs} cannot be used: {error}") from error

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | dict(
            lr_schedule=self._dummy_schedule,  # not needed for loading the policy alone
            net_arch=self.net_arch,
            activation_fn=self.activation_fn,
            features_extractor_class=self.features_extractor_class,
            features_extractor_kwargs=self.features_extractor_kwargs,
            optimizer_class=self.optimizer_class,
            optimizer_kwargs=self.optimizer_kwargs,
            critic_optimizer_kwargs=self.critic_optimizer_kwargs,
            n_critics=self.n_critics,
            share_features_extractor=self.share_features_extractor,
            final_init=self.final_init,
            **self.norm_kwargs,
            **self.action_kwargs,
        )

    def forward(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        return self._predict(observation, deterministic=deterministic)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        return self.actor(observation)

    def online_networks(self) -> tuple[nn.Module, ...]:
        return self.actor, self.critic


MlpPolicy = BNDDPGPolicy


class CnnPolicy(BNDDPGPolicy):
    """Policy of BNDDPG for images: features by SB3's ``NatureCNN`` unless told otherwise, see :class:`BNDDPGPolicy`."""

    default_features_extractor = NatureCNN


class MultiInputPolicy(BNDDPGPolicy):
    """
    Policy of BNDDPG for dictionary observations: features by SB3's ``CombinedExtractor`` unless told otherwise, see
    :class:`BNDDPGPolicy`.
    """

    default_features_extractor = CombinedExtractor
