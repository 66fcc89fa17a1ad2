"""Actor, critic and policy of BNDDPG."""

from typing import Any, ClassVar

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel, BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
    get_actor_critic_arch,
)
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from sb3_dpg.common.checks import check_integer, check_real
from sb3_dpg.common.policies import DeterministicPolicy
from sb3_dpg.common.torch_layers import BatchNorm, hidden_layers, last_width, output_layer


class Actor(BasePolicy):
    """
    The deterministic policy mu(s), batch-normalised on its input and on every hidden layer (DDPG paper, section 3).

    :param observation_space: Observation space
    :param action_space: Action space, a bounded box
    :param net_arch: Sizes of the hidden layers
    :param features_extractor: Network to extract features (a CNN for images, a flatten layer otherwise)
    :param features_dim: Number of features
    :param activation_fn: Activation function
    :param normalize_images: Whether to divide images by 255
    :param norm: The batch-norm layers, None for a network without
    :param final_init: Half width of the uniform initialisation of the last layer, None for PyTorch's
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        net_arch: list[int],
        features_extractor: BaseFeaturesExtractor,
        features_dim: int,
        activation_fn: type[nn.Module] = nn.ReLU,
        normalize_images: bool = True,
        norm: BatchNorm | None = None,
        final_init: float | None = None,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            features_extractor=features_extractor,
            normalize_images=normalize_images,
            squash_output=True,
        )
        self.net_arch = net_arch
        self.features_dim = features_dim
        self.activation_fn = activation_fn
        self.norm = norm
        self.final_init = final_init
        self.mu = nn.Sequential(
            *([] if norm is None else [norm.layer(features_dim)]),
            *hidden_layers(features_dim, net_arch, activation_fn, norm),
            output_layer(last_width(features_dim, net_arch), get_action_dim(action_space), final_init),
            nn.Tanh(),
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | dict(
            net_arch=self.net_arch,
            features_extractor=self.features_extractor,
            features_dim=self.features_dim,
            activation_fn=self.activation_fn,
            norm=self.norm,
            final_init=self.final_init,
        )

    def forward(self, obs: PyTorchObs) -> th.Tensor:
        """
        :param obs: Observations, the first axis is the batch
        :return: Actions scaled to [-1, 1], (batch_size, action_dim)
        """
        return self.mu(self.extract_features(obs, self.features_extractor))

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        # A deterministic policy has no other action to give, whatever `deterministic` says
        return self(observation)


class QNetwork(nn.Module):
    """
    One action-value network Q(s, a); the action enters at the input or at a hidden layer.

    :param features_dim: Size of the features of s
    :param action_dim: Size of a
    :param net_arch: Sizes of the hidden layers
    :param activation_fn: Activation function
    :param norm: The batch-norm layers, None for a network without
    :param action_layer: Number of hidden layers that see the state alone (0: the action enters at the input, 1: at the
        second hidden layer, as in the DDPG paper)
    :param norm_after_action: Whether layers that have seen the action are normalised too; the DDPG paper normalises those
        before the action input only
    :param final_init: Half width of the uniform initialisation of the last layer, None for PyTorch's
    """

    def __init__(
        self,
        features_dim: int,
        action_dim: int,
        net_arch: list[int],
        activation_fn: type[nn.Module] = nn.ReLU,
        norm: BatchNorm | None = None,
        action_layer: int = 0,
        norm_after_action: bool = True,
        final_init: float | None = None,
    ) -> None:
        super().__init__()
        state_arch, joint_arch = net_arch[:action_layer], net_arch[action_layer:]
        joint_norm = norm if norm_after_action else None
        joint_dim = last_width(features_dim, state_arch) + action_dim
        trunk: list[nn.Module] = []
        head: list[nn.Module] = []
        if norm is not None:
            if action_layer > 0:
                trunk.append(norm.layer(features_dim))
            else:
                head.append(norm.layer(joint_dim))
        trunk += hidden_layers(features_dim, state_arch, activation_fn, norm)
        head += hidden_layers(joint_dim, joint_arch, activation_fn, joint_norm)
        head.append(output_layer(last_width(joint_dim, joint_arch), 1, final_init))
        self.trunk = nn.Sequential(*trunk)
        self.head = nn.Sequential(*head)

    def forward(self, features: th.Tensor, actions: th.Tensor) -> th.Tensor:
        """
        :param features: Features of the states, (batch_size, features_dim)
        :param actions: Actions scaled to [-1, 1], (batch_size, action_dim)
        :return: Values, (batch_size, 1)
        """
        return self.head(th.cat([self.trunk(features), actions], dim=1))


class Critic(BaseModel):
    """
    The action values Q(s, a) of one or several networks over common features.

    :param observation_space: Observation space
    :param action_space: Action space, a bounded box
    :param net_arch: Sizes of the hidden layers
    :param features_extractor: Network to extract features (a CNN for images, a flatten layer otherwise)
    :param features_dim: Number of features
    :param activation_fn: Activation function
    :param normalize_images: Whether to divide images by 255
    :param n_critics: Number of networks
    :param share_features_extractor: Whether the features extractor is the actor's; it then learns from the actor's loss only
    :param norm: The batch-norm layers, None for networks without
    :param action_layer: Number of hidden layers before the action enters
    :param norm_after_action: Whether to normalise the layers that have seen the action
    :param final_init: Half width of the uniform initialisation of the last layer, None for PyTorch's
    """

    features_extractor: BaseFeaturesExtractor

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        net_arch: list[int],
        features_extractor: BaseFeaturesExtractor,
        features_dim: int,
        activation_fn: type[nn.Module] = nn.ReLU,
        normalize_images: bool = True,
        n_critics: int = 1,
        share_features_extractor: bool = False,
        norm: BatchNorm | None = None,
        action_layer: int = 0,
        norm_after_action: bool = True,
        final_init: float | None = None,
    ) -> None:
        super().__init__(
            observation_space, action_space, features_extractor=features_extractor, normalize_images=normalize_images
        )
        self.share_features_extractor = share_features_extractor
        self.network_kwargs: dict[str, Any] = dict(
            net_arch=net_arch,
            features_dim=features_dim,
            activation_fn=activation_fn,
            norm=norm,
            action_layer=action_layer,
            norm_after_action=norm_after_action,
            final_init=final_init,
        )
        action_dim = get_action_dim(action_space)
        self.q_networks = nn.ModuleList(QNetwork(action_dim=action_dim, **self.network_kwargs) for _ in range(n_critics))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | dict(
            features_extractor=self.features_extractor,
            n_critics=len(self.q_networks),
            share_features_extractor=self.share_features_extractor,
            **self.network_kwargs,
        )

    def forward(self, obs: PyTorchObs, actions: th.Tensor) -> tuple[th.Tensor, ...]:
        """
        :param obs: Observations, the first axis is the batch
        :param actions: Actions scaled to [-1, 1], (batch_size, action_dim)
        :return: Values of each network, n_critics times (batch_size, 1)
        """
        # A shared features extractor learns from the actor's loss only, as in SB3
        with th.set_grad_enabled(th.is_grad_enabled() and not self.share_features_extractor):
            features = self.extract_features(obs, self.features_extractor)
        return tuple(network(features, actions) for network in self.q_networks)

    def q1_forward(self, obs: PyTorchObs, actions: th.Tensor) -> th.Tensor:
        """
        Values of the first network alone, for the actor's loss: no gradient flows into the features extractor.

        :param obs: Observations, the first axis is the batch
        :param actions: Actions scaled to [-1, 1], (batch_size, action_dim)
        :return: Values, (batch_size, 1)
        """
        with th.no_grad():
            features = self.extract_features(obs, self.features_extractor)
        return self.q_networks[0](features, actions)


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
        super().__init__(
            observation_space,
            action_space,
            features_extractor_class,
            features_extractor_kwargs,
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

        self.actor.optimizer = self.make_optimizer(self.actor, lr_schedule, {})
        self.critic.optimizer = self.make_optimizer(self.critic, lr_schedule, self.critic_optimizer_kwargs)
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

    def make_optimizer(self, network: nn.Module, lr_schedule: Schedule, kwargs: dict[str, Any]) -> th.optim.Optimizer:
        """
        :param network: The network to optimise
        :param lr_schedule: Learning rate schedule, its value at the start is used
        :param kwargs: Keyword arguments beyond ``optimizer_kwargs``
        :return: A new optimizer
        """
        # One fused call for all tensors in place of a Python loop over them; an explicit choice of the user's wins
        fused = {"fused": True} if self.optimizer_class in (th.optim.Adam, th.optim.AdamW) else {}
        kwargs = fused | self.optimizer_kwargs | kwargs
        if kwargs.get("foreach") or kwargs.get("capturable") or kwargs.get("differentiable"):
            kwargs.setdefault("fused", False)
        return self.optimizer_class(network.parameters(), lr=lr_schedule(1), **kwargs)  # type: ignore[call-arg]

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
