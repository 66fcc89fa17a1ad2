"""Networks and policies of BNDDPG."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch as th
from gymnasium import spaces
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

from sb3_dpg.common.checks import check_integer, check_real, check_type
from sb3_dpg.common.policies import DeterministicPolicy, EvaluationModel
from sb3_dpg.common.torch_layers import (
    BatchNorm1d,
    EnsembleLinear,
    InputNorm,
    NormalizedSequential,
    linear,
)

#: The optimizers that have Adam's arguments
ADAM = (th.optim.Adam, th.optim.AdamW)


def input_norm(features_extractor: BaseFeaturesExtractor, features_dim: int, momentum: float, eps: float) -> InputNorm:
    """
    Observations may have any scale. Features that a network computed, and that differ by rounding alone, are no signal: all
    features of an extractor with weights, such as a CNN beside a dict's numbers, have a larger eps.
    """
    is_learned = any(True for _ in features_extractor.parameters())
    return InputNorm(features_dim, momentum, eps if is_learned else InputNorm.EPS)


class Actor(DeterministicPolicy):
    """
    The deterministic policy mu(s), batch-normalised on its input and on every hidden layer (DDPG paper, section 3).

    :param observation_space: Observation space
    :param action_space: Action space, a bounded box
    :param net_arch: Sizes of the hidden layers
    :param features_extractor: Network to extract features (a CNN for images, a flatten layer otherwise)
    :param features_dim: Number of features
    :param activation_fn: Activation function
    :param normalize_images: Whether to divide images by 255
    :param batch_norm_kwargs: ``momentum`` and ``eps`` of the batch-norm layers, None for a network without
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
        batch_norm_kwargs: dict[str, float] | None = None,
        final_init: float | None = None,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            features_extractor=features_extractor,
            normalize_images=normalize_images,
            squash_output=True,
        )
        self.network_kwargs: dict[str, Any] = dict(
            net_arch=net_arch,
            features_dim=features_dim,
            activation_fn=activation_fn,
            batch_norm_kwargs=batch_norm_kwargs,
            final_init=final_init,
        )
        modules: list[nn.Module] = []
        if batch_norm_kwargs is not None:
            modules.append(input_norm(features_extractor, features_dim, **batch_norm_kwargs))
        width = features_dim
        for next_width in net_arch:
            # Batch normalisation subtracts the mean, so that a bias before it would be without effect
            modules.append(linear(width, next_width, bias=batch_norm_kwargs is None))
            if batch_norm_kwargs is not None:
                modules.append(BatchNorm1d(next_width, **batch_norm_kwargs))
            modules.append(activation_fn())
            width = next_width
        modules.append(linear(width, get_action_dim(action_space), init=final_init))
        self.mu = NormalizedSequential(*modules)
        self.train(False)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | dict(features_extractor=self.features_extractor) | self.network_kwargs

    def forward(self, obs: PyTorchObs, train: bool = False) -> th.Tensor:
        """
        :param obs: Observations, the first axis is the batch
        :param train: Normalise by the batch's own statistics, and let the running ones follow
        :return: Actions scaled to [-1, 1], (batch_size, action_dim)
        """
        output = self.mu(self.extract_features(obs, self.features_extractor, train), train)
        # bfloat16 rounds 0.998 to 1, where tanh has no gradient: an actor that saturates would never come back
        return th.tanh(output.float())

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        # A deterministic policy has no other action to give, whatever `deterministic` says
        return self(observation)


class Critic(EvaluationModel):
    """
    The action values Q(s, a) of one or several networks over common features, computed at once.

    :param observation_space: Observation space
    :param action_space: Action space, a bounded box
    :param net_arch: Sizes of the hidden layers
    :param features_extractor: Network to extract features (a CNN for images, a flatten layer otherwise)
    :param features_dim: Number of features
    :param activation_fn: Activation function
    :param normalize_images: Whether to divide images by 255
    :param n_critics: Number of networks
    :param share_features_extractor: Whether the features extractor is the actor's; it then learns from the actor's loss only
    :param batch_norm_kwargs: ``momentum`` and ``eps`` of the batch-norm layers, None for networks without
    :param action_layer: Number of hidden layers that see the state alone (0: the action enters at the input, 1: at the second
        hidden layer, as in the DDPG paper)
    :param norm_after_action: Whether layers that have seen the action are normalised too; the DDPG paper normalises those
        before the action input only
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
        n_critics: int = 2,
        share_features_extractor: bool = False,
        batch_norm_kwargs: dict[str, float] | None = None,
        action_layer: int = 0,
        norm_after_action: bool = True,
        final_init: float | None = None,
    ) -> None:
        super().__init__(
            observation_space, action_space, features_extractor=features_extractor, normalize_images=normalize_images
        )
        self.n_critics = n_critics
        self.share_features_extractor = share_features_extractor
        self.network_kwargs: dict[str, Any] = dict(
            net_arch=net_arch,
            features_dim=features_dim,
            activation_fn=activation_fn,
            batch_norm_kwargs=batch_norm_kwargs,
            action_layer=action_layer,
            norm_after_action=norm_after_action,
            final_init=final_init,
        )
        action_dim = get_action_dim(action_space)
        widths = [features_dim, *net_arch]
        normalized = [batch_norm_kwargs is not None and (norm_after_action or i < action_layer) for i in range(len(net_arch))]
        # Network by network, as in SB3: the same seed gives the same weights
        networks = []
        for _ in range(n_critics):
            layers = [
                linear(widths[i] + (action_dim if i == action_layer else 0), widths[i + 1], bias=not normalized[i])
                for i in range(len(net_arch))
            ]
            input_dim = widths[-1] + (action_dim if action_layer == len(net_arch) else 0)
            networks.append([*layers, linear(input_dim, 1, init=final_init)])
        hidden: list[list[nn.Module]] = []
        *ensembles, output = (EnsembleLinear(layers) for layers in zip(*networks, strict=True))
        for ensemble, width, is_normalized in zip(ensembles, net_arch, normalized, strict=True):
            hidden.append([ensemble, activation_fn()])
            if is_normalized:
                hidden[-1].insert(1, BatchNorm1d(n_critics * width, **(batch_norm_kwargs or {})))
        self.input_norm = None
        if batch_norm_kwargs is not None:
            self.input_norm = input_norm(features_extractor, features_dim, **batch_norm_kwargs)
        self.trunk = NormalizedSequential(*(module for modules in hidden[:action_layer] for module in modules))
        self.head = NormalizedSequential(*(module for modules in hidden[action_layer:] for module in modules))
        self.output = output
        self.train(False)

    def own_parameters(self) -> Iterator[nn.Parameter]:
        """
        :return: The parameters that learn from the critic's loss: all but those of a shared features extractor, the actor's
        """
        modules = (self.trunk, self.head, self.output) if self.share_features_extractor else (self,)
        return (parameter for module in modules for parameter in module.parameters())

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | dict(
            features_extractor=self.features_extractor,
            n_critics=self.n_critics,
            share_features_extractor=self.share_features_extractor,
            **self.network_kwargs,
        )

    def forward(self, obs: PyTorchObs, actions: th.Tensor) -> tuple[th.Tensor, ...]:
        """
        :param obs: Observations, the first axis is the batch
        :param actions: Actions scaled to [-1, 1], (batch_size, action_dim)
        :return: Values of each network, n_critics times (batch_size, 1)
        """
        return tuple(self.q_values(obs, actions))

    def q_values(
        self,
        obs: PyTorchObs,
        actions: th.Tensor,
        train: bool = False,
        *,
        n_networks: int | None = None,
        features_grad: bool = True,
    ) -> th.Tensor:
        """
        Values of all networks, or of the first ones, for a loss.

        :param obs: Observations, the first axis is the batch
        :param actions: Actions scaled to [-1, 1], (batch_size, action_dim)
        :param train: Normalise by the batch's own statistics, and let the running ones follow
        :param n_networks: How many networks, the first ones, None for all
        :param features_grad: Whether there are gradients in the features extractor, where it is not shared
        :return: Values, (n_networks, batch_size, 1)
        """
        own = not self.share_features_extractor
        # A shared features extractor learns from the actor's loss only, as in SB3, and so do its statistics
        with th.set_grad_enabled(th.is_grad_enabled() and own and features_grad):
            features = self.extract_features(obs, self.features_extractor, train and own)
        if self.input_norm is not None:
            features = self.input_norm(features, train)
        n_networks = self.n_critics if n_networks is None else n_networks
        hidden = self.trunk(features.expand(n_networks, -1, -1), train)
        hidden = self.head(th.cat([hidden, actions.expand(n_networks, -1, -1)], dim=2), train)
        # bfloat16 has three digits: enough between layers, too few for values
        with th.autocast(hidden.device.type, enabled=False):
            return self.output(hidden.float())


class BNDDPGPolicy(DeterministicPolicy):
    """
    Policy of BNDDPG: actor and critic, their optimizers, and what follows them slowly: target networks, or else an average of
    the actor, which then is the policy that acts.

    :param observation_space: Observation space
    :param action_space: Action space, a bounded box
    :param lr_schedule: Learning rate schedule (could be constant)
    :param net_arch: Sizes of the hidden layers, a list or ``dict(pi=[...], qf=[...])``; [256, 256] by default
    :param activation_fn: Activation function, in evaluation mode at all times: dropout in it has no effect
    :param features_extractor_class: Features extractor to use, None for the class's ``default_features_extractor``
    :param features_extractor_kwargs: Keyword arguments of the features extractor
    :param normalize_images: Whether to divide images by 255
    :param optimizer_class: The optimizer of both networks
    :param optimizer_kwargs: Additional keyword arguments of the optimizers, excluding the learning rate; for Adam and AdamW
        ``betas=(0.5, 0.999)`` unless given, as in CrossQ
    :param critic_optimizer_kwargs: Those that the critic's optimizer has beyond, or in place of, ``optimizer_kwargs``
        (the DDPG paper decays the weights of the critic alone)
    :param n_critics: Number of critic networks
    :param share_features_extractor: Whether actor and critic share the features extractor
    :param batch_norm_momentum: Weight of the newest batch in the running statistics, in (0, 1]
    :param batch_norm_eps: Added to the variance of hidden layers, and of what a features extractor with weights computed;
        positive
    :param action_layer: Hidden layer of Q at which the action enters: 0 the input, 1 as in the DDPG paper; at most the number
        of hidden layers
    :param norm_after_action: Whether the layers of Q that have seen the action are normalised too
    :param final_init: Half width of the uniform initialisation of the last layers, None for PyTorch's
    :param batch_norm: Whether the networks are batch-normalised; ``BNDDPG`` gives its own
    :param target_networks: Whether there are target networks; ``BNDDPG`` gives its own. These two have no default, so that a
        file is not taken for one of TD3's, which knows neither
    :raises TypeError: if a number has the wrong type
    :raises ValueError: if a number is out of its range, or the observations are not for the features extractor
    """

    default_features_extractor: ClassVar[type[BaseFeaturesExtractor]] = FlattenExtractor

    actor: Actor
    critic: Critic
    #: Number of actors in the average
    n_averaged = 0

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
        n_critics: int = 2,
        share_features_extractor: bool = False,
        batch_norm_momentum: float = 0.1,
        batch_norm_eps: float = 1e-5,
        action_layer: int = 0,
        norm_after_action: bool = True,
        final_init: float | None = None,
        *,
        batch_norm: bool,
        target_networks: bool,
    ) -> None:
        if features_extractor_class is None:
            features_extractor_class = self.default_features_extractor
        if not callable(features_extractor_class):
            raise TypeError(
                f"features_extractor_class={features_extractor_class!r} must be a subclass of SB3's BaseFeaturesExtractor or "
                "a function that makes one"
            )
        if features_extractor_class is CombinedExtractor and not isinstance(observation_space, spaces.Dict):
            raise ValueError(
                f"policy='MultiInputPolicy' is for observations of type Dict, not {observation_space}: use 'MlpPolicy', or "
                "'CnnPolicy' for images"
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
            # Where images are not divided SB3 asks for the class's base, which a function has not
            normalize_images=normalize_images or not isinstance(features_extractor_class, type),
        )
        self.normalize_images = normalize_images
        check_integer("n_critics", n_critics, 1)
        check_real("batch_norm_momentum", batch_norm_momentum, 0.0, 1.0, low_open=True)
        check_real("batch_norm_eps", batch_norm_eps, 0.0, low_open=True, high_open=True)
        check_type("share_features_extractor", share_features_extractor, bool)
        check_type("norm_after_action", norm_after_action, bool)
        if final_init is not None:
            check_real("final_init", final_init, 0.0, low_open=True, high_open=True)
        self.net_arch = [256, 256] if net_arch is None else net_arch
        self.actor_arch, self.critic_arch = get_actor_critic_arch(self.net_arch)
        check_integer("action_layer", action_layer, 0)
        if action_layer > len(self.critic_arch):
            raise ValueError(
                f"action_layer={action_layer} is too large: the critic has {len(self.critic_arch)} hidden layer(s)"
            )

        self.activation_fn = activation_fn
        self.critic_optimizer_kwargs = dict(critic_optimizer_kwargs or {})
        self.batch_norm_kwargs = dict(momentum=batch_norm_momentum, eps=batch_norm_eps)
        self.batch_norm = batch_norm
        self.target_networks = target_networks
        self.critic_kwargs: dict[str, Any] = dict(
            n_critics=n_critics,
            share_features_extractor=share_features_extractor,
            action_layer=action_layer,
            norm_after_action=norm_after_action,
        )
        self.final_init = final_init
        self._build(lr_schedule)

    def _build(self, lr_schedule: Schedule) -> None:
        """Create the networks and their optimizers."""
        shared = self.critic_kwargs["share_features_extractor"]
        self.actor = self.make_actor()
        if self.target_networks:
            self.actor_target = self.make_actor()
            self.actor_target.load_state_dict(self.actor.state_dict())
        else:
            self.averaged_actor = copy.deepcopy(self.actor)
        self.critic = self.make_critic(self.actor.features_extractor if shared else None)
        if self.target_networks:
            self.critic_target = self.make_critic(self.actor_target.features_extractor if shared else None)
            self.critic_target.load_state_dict(self.critic.state_dict())
        self.actor.optimizer = self.make_optimizer(self.actor.parameters(), lr_schedule, {})
        self.critic.optimizer = self.make_optimizer(self.critic.own_parameters(), lr_schedule, self.critic_optimizer_kwargs)
        # Not by `train`, which ends at a network that is in evaluation mode: a subclass of it may have added layers since
        for module in self.modules():
            module.training = False

    def _network_kwargs(self, net_arch: list[int], features_extractor: BaseFeaturesExtractor | None) -> dict[str, Any]:
        """The arguments that actor and critic have in common."""
        common = dict(
            observation_space=self.observation_space,
            action_space=self.action_space,
            net_arch=net_arch,
            activation_fn=self.activation_fn,
            normalize_images=self.normalize_images,
            batch_norm_kwargs=self.batch_norm_kwargs if self.batch_norm else None,
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
        return Critic(**self._network_kwargs(self.critic_arch, features_extractor), **self.critic_kwargs).to(self.device)

    def make_optimizer(
        self, parameters: Iterable[nn.Parameter], lr_schedule: Schedule, kwargs: dict[str, Any]
    ) -> th.optim.Optimizer:
        """
        :param parameters: What to optimise
        :param lr_schedule: Learning rate schedule, its value at the start is used
        :param kwargs: Keyword arguments beyond ``optimizer_kwargs``
        :return: A new optimizer
        """
        # The actor's optimizer was made before, by optimizer_kwargs alone: an error now is of the critic's own
        name, given = ("critic_optimizer_kwargs", kwargs) if kwargs else ("optimizer_kwargs", self.optimizer_kwargs)
        kwargs = self.optimizer_kwargs | kwargs
        if self.optimizer_class in ADAM:
            kwargs = {"betas": (0.5, 0.999)} | kwargs
            # One fused call for all tensors in place of a Python loop over them; an explicit choice of the user's wins
            if not any(kwargs.get(name) for name in ("foreach", "capturable", "differentiable")):
                kwargs = {"fused": True} | kwargs
        try:
            return self.optimizer_class(parameters, lr=lr_schedule(1), **kwargs)  # type: ignore[call-arg]
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{name}={given} cannot be used: {error}") from error

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
            batch_norm_momentum=self.batch_norm_kwargs["momentum"],
            batch_norm_eps=self.batch_norm_kwargs["eps"],
            final_init=self.final_init,
            batch_norm=self.batch_norm,
            target_networks=self.target_networks,
            **self.critic_kwargs,
        )

    def forward(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        return self._predict(observation, deterministic=deterministic)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        # Before there is an average the actor may have weights from elsewhere: of a behaviour that was cloned, or another's
        acting = self.averaged_actor if self.n_averaged > 0 else self.actor
        return acting(observation)

    def get_extra_state(self) -> th.Tensor:
        """With the weights, for whoever loads them: ``n_averaged``."""
        return th.tensor(self.n_averaged)

    def set_extra_state(self, state: th.Tensor) -> None:
        """
        :param state: What :meth:`get_extra_state` gave
        """
        self.n_averaged = int(state)


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
