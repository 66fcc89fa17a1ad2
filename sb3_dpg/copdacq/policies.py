"""Policies of COPDACQ: what is learned, and how it depends on the state."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim, is_image_space, preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor, get_actor_critic_arch
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from sb3_dpg.common.checks import check_real
from sb3_dpg.common.features import BoundedFeatures, FourierBasis, PolynomialBasis, RadialBasis, TileCoding
from sb3_dpg.common.policies import DeterministicPolicy
from sb3_dpg.common.torch_layers import linear
from sb3_dpg.copdacq.linearisation import Clipped, DenseLinear, Differentiable, Linearised, SparseLinear
from sb3_dpg.copdacq.updates import ActorCriticWeights, compatible

# Beyond this many dimensions the tiles of a default TileCoding are hashed to HASH_SIZE features
UNHASHED_DIMENSIONS = 4
HASH_SIZE = 2**16


class CompatiblePolicy(DeterministicPolicy):
    """
    Base of the policies: a deterministic actor mu, a value V and the compatible advantage A.

    A subclass says how mu and V depend on the state, and which weights they have.

    :param observation_space: Observation space
    :param action_space: Action space, a bounded box
    :param kwargs: Arguments of SB3's ``BasePolicy``
    """

    # Step sizes of an algorithm that is given none: alpha_theta, and those of all else
    default_actor_learning_rate: ClassVar[float] = 1e-4
    default_learning_rate: ClassVar[float] = 1e-3
    # How many weights of mu and of V one state touches: step sizes are divided by these
    actor_n_active: int = 1
    value_n_active: int = 1

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Box, **kwargs: Any) -> None:
        super().__init__(observation_space, action_space, squash_output=True, **kwargs)

    @property
    @abstractmethod
    def weights(self) -> ActorCriticWeights[th.Tensor]:
        """Everything that is learned; the tensors of the policy's parameters themselves."""

    @abstractmethod
    def linearise(self, observations: th.Tensor, next_observations: th.Tensor) -> Linearised[th.Tensor]:
        """As :meth:`~sb3_dpg.copdacq.updates.CompatibleFunctions.linearise`."""

    def preprocess(self, observations: PyTorchObs) -> th.Tensor:
        """Observations as features extractors take them: images in [0, 1], discrete ones one-hot."""
        inputs = preprocess_obs(observations, self.observation_space, normalize_images=self.normalize_images)
        assert isinstance(inputs, th.Tensor)  # for mypy: there are no dictionaries here
        return inputs

    @th.no_grad()
    def q_values(self, observations: th.Tensor, actions: th.Tensor) -> th.Tensor:
        """
        Q(s, a) = phi(s, a)^T w + V(s) (Silver et al. 2014, section 4.3).

        :param observations: s, (batch_size, ...)
        :param actions: a, scaled to [-1, 1], (batch_size, action_dim)
        :return: Values, (batch_size, 1)
        """
        mu, value, _ = self.linearise(observations, observations)
        return compatible(mu, actions - mu.value, self.weights.w) + value.value

    def forward(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        return self._predict(observation, deterministic=deterministic)


# What a YAML file can call features by
FEATURES: dict[str, type[BaseFeaturesExtractor]] = {
    extractor.__name__: extractor for extractor in (FlattenExtractor, FourierBasis, PolynomialBasis, RadialBasis, TileCoding)
}


def features_class(name: str, extractor: str | type[BaseFeaturesExtractor]) -> type[BaseFeaturesExtractor]:
    """The class, where it is given by one of the names in ``FEATURES``."""
    if isinstance(extractor, type):
        return extractor
    if not isinstance(extractor, str):
        raise TypeError(f"{name}={extractor!r} must be a class or one of {', '.join(FEATURES)}")
    if extractor not in FEATURES:
        raise ValueError(f"{name}={extractor!r} is unknown: it must be a class or one of {', '.join(FEATURES)}")
    return FEATURES[extractor]


def default_features(observation_space: spaces.Space) -> tuple[type[BaseFeaturesExtractor], dict[str, Any]]:
    """Features that suit the space: tile coding for a ``Box``, hashed where it has many dimensions; otherwise one-hot."""
    if not isinstance(observation_space, spaces.Box):
        return FlattenExtractor, {}
    hashed = int(np.prod(observation_space.shape)) > UNHASHED_DIMENSIONS
    return TileCoding, {"hash_size": HASH_SIZE} if hashed else {}


def n_active(extractor: BaseFeaturesExtractor, observation_space: spaces.Space) -> int:
    """How many features are nonzero at once, at most; 1 where it is not known."""
    if isinstance(extractor, FlattenExtractor) and not isinstance(observation_space, spaces.Box):
        # One-hot (MultiDiscrete) or binary (MultiBinary): one feature for each component; for Discrete, whose shape is (), 1
        return int(np.prod(observation_space.shape))
    return getattr(extractor, "n_active", 1)


def raw_image_bounds(
    extractor: type[BaseFeaturesExtractor], observation_space: spaces.Space, normalize_images: bool
) -> dict[str, float]:
    """The bounds of images that are not divided by 255, which features take to be; otherwise none."""
    raw = not normalize_images and is_image_space(observation_space) and issubclass(extractor, BoundedFeatures)
    return {"low": 0.0, "high": 255.0} if raw else {}


class LinearPolicy(CompatiblePolicy):
    """
    mu, V and A linear in features of the state; every weight starts at 0.

    mu(s) = theta^T phi(s), clipped to the action bounds, so J(s) holds the features, and phi(s, a) = phi(s) (a - mu(s))^T.

    :param observation_space: Observation space
    :param action_space: Action space, a bounded box
    :param lr_schedule: Not used: step sizes are the algorithm's
    :param features_extractor_class: Features of the state, e.g. of ``sb3_dpg.common.features``, where a name will do
        (``"FourierBasis"``); they are not learned. None: ``TileCoding`` for a
        ``Box`` (hashed to 65536 features if it has more than 4 dimensions), otherwise one-hot
    :param features_extractor_kwargs: Keyword arguments of the features
    :param value_features_extractor_class: Features of V, if they are to differ from those of mu; None: the same
    :param value_features_extractor_kwargs: Keyword arguments of the features of V
    :param normalize_images: Whether to divide images by 255
    """

    default_actor_learning_rate = 0.01
    default_learning_rate = 0.2

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        features_extractor_class: str | type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        value_features_extractor_class: str | type[BaseFeaturesExtractor] | None = None,
        value_features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
    ) -> None:
        defaults: dict[str, Any] = {}
        if features_extractor_class is None:
            features_extractor_class, defaults = default_features(observation_space)
        kwargs = defaults | (features_extractor_kwargs or {})
        features_extractor_class = features_class("features_extractor_class", features_extractor_class)
        super().__init__(
            observation_space,
            action_space,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=raw_image_bounds(features_extractor_class, observation_space, normalize_images) | kwargs,
            normalize_images=normalize_images,
        )
        if value_features_extractor_class is None and value_features_extractor_kwargs:
            value_features_extractor_class = features_extractor_class
            value_features_extractor_kwargs = defaults | value_features_extractor_kwargs
        self.value_features_extractor_class = value_features_extractor_class
        self.value_features_extractor_kwargs = value_features_extractor_kwargs or {}
        self.features_extractor = self.value_features_extractor = self.make_features_extractor()
        if value_features_extractor_class is not None:
            extractor_class = features_class("value_features_extractor_class", value_features_extractor_class)
            bounds = raw_image_bounds(extractor_class, observation_space, normalize_images)
            kwargs = {**bounds, **self.value_features_extractor_kwargs}
            self.value_features_extractor_class, self.value_features_extractor_kwargs = extractor_class, kwargs
            self.value_features_extractor = extractor_class(observation_space, **kwargs)
        self.actor_n_active = n_active(self.features_extractor, observation_space)
        self.value_n_active = n_active(self.value_features_extractor, observation_space)

        actor_shape = (self.features_extractor.features_dim, get_action_dim(action_space))
        value_shape = (self.value_features_extractor.features_dim, 1)
        self.theta, self.w, self.u = (nn.Parameter(th.zeros(actor_shape)) for _ in range(3))
        self.v, self.u_v = (nn.Parameter(th.zeros(value_shape)) for _ in range(2))
        # Learned by increments, not by autograd; always in evaluation mode, so that looking at a policy changes nothing
        self.requires_grad_(False).eval()

    @property
    def weights(self) -> ActorCriticWeights[th.Tensor]:
        return ActorCriticWeights([self.theta], [self.w], [self.v], [self.u], [self.u_v])

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | dict(
            lr_schedule=self._dummy_schedule,
            features_extractor_class=self.features_extractor_class,
            features_extractor_kwargs=self.features_extractor_kwargs,
            value_features_extractor_class=self.value_features_extractor_class,
            value_features_extractor_kwargs=self.value_features_extractor_kwargs,
        )

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        function, features = state_features(self.features_extractor, self.preprocess(observation))
        return Clipped(function(features, [self.theta])).value

    def linearise(self, observations: th.Tensor, next_observations: th.Tensor) -> Linearised[th.Tensor]:
        size = len(observations)
        # One pass over s and s' costs half of two where batches are small
        inputs = self.preprocess(th.cat([observations, next_observations]))
        function, features = state_features(self.value_features_extractor, inputs)
        actor_function, actor_features = function, features
        if self.value_features_extractor is not self.features_extractor:
            actor_function, actor_features = state_features(self.features_extractor, inputs[:size])
        return (
            Clipped(actor_function(actor_features[:size], [self.theta])),
            function(features[:size], [self.v]),
            function(features[size:], [self.v]),
        )


def state_features(
    extractor: BaseFeaturesExtractor, inputs: th.Tensor
) -> tuple[type[DenseLinear] | type[SparseLinear[th.Tensor]], th.Tensor]:
    """The linear function of such features, and the features in the form that it takes: those of tiles as indices."""
    if isinstance(extractor, TileCoding) and type(extractor).forward is TileCoding.forward:
        return SparseLinear, extractor.active(inputs)
    return DenseLinear, extractor(inputs)


class MlpPolicy(CompatiblePolicy):
    """
    mu a neural network, V another one, and A compatible with mu by Jacobian-vector products.

    A(s, a) = (a - mu(s))^T (J(s) w), where w has the shape of the actor's weights: the linear function of the action whose
    gradient is J(s) w (Silver et al. 2014, theorem 3; the paper's octopus arm has this form).

    :param observation_space: Observation space
    :param action_space: Action space, a bounded box
    :param lr_schedule: Not used: step sizes are the algorithm's
    :param net_arch: Sizes of the hidden layers, a list or ``dict(pi=[...], qf=[...])``, where qf is V's
    :param activation_fn: Activation function
    :param features_extractor_class: Features extractor to use, or a name as in :class:`LinearPolicy`; actor and V have their
        own, learned with them. None: the observation itself, flattened
    :param features_extractor_kwargs: Keyword arguments of the features extractor
    :param normalize_images: Whether to divide images by 255
    :param final_init: Half width of the uniform initialisation of the last layers, None for PyTorch's
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        activation_fn: type[nn.Module] = nn.Tanh,
        features_extractor_class: str | type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        final_init: float | None = 3e-3,
    ) -> None:
        features_extractor_class = features_class("features_extractor_class", features_extractor_class or FlattenExtractor)
        super().__init__(
            observation_space,
            action_space,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=raw_image_bounds(features_extractor_class, observation_space, normalize_images)
            | dict(features_extractor_kwargs or {}),
            normalize_images=normalize_images,
        )
        if final_init is not None:
            check_real("final_init", final_init, 0.0, low_open=True, high_open=True)
        self.net_arch = [64, 64] if net_arch is None else net_arch
        self.activation_fn = activation_fn
        self.final_init = final_init
        actor_arch, value_arch = get_actor_critic_arch(self.net_arch)
        self.actor = nn.Sequential(*self._network(actor_arch, get_action_dim(action_space)), nn.Tanh())
        self.value = nn.Sequential(*self._network(value_arch, 1))
        self.w, self.u = (nn.ParameterList(map(th.zeros_like, self.actor.parameters())) for _ in range(2))
        self.u_v = nn.ParameterList(map(th.zeros_like, self.value.parameters()))
        self.requires_grad_(False).eval()

    def _network(self, net_arch: list[int], output_dim: int) -> list[nn.Module]:
        """Features extractor and layers, in order."""
        extractor = self.make_features_extractor()
        width = extractor.features_dim
        modules: list[nn.Module] = [extractor]
        for next_width in net_arch:
            modules += [linear(width, next_width), self.activation_fn()]
            width = next_width
        return [*modules, linear(width, output_dim, init=self.final_init)]

    @property
    def weights(self) -> ActorCriticWeights[th.Tensor]:
        return ActorCriticWeights(
            list(self.actor.parameters()), list(self.w), list(self.value.parameters()), list(self.u), list(self.u_v)
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | dict(
            lr_schedule=self._dummy_schedule,
            net_arch=self.net_arch,
            activation_fn=self.activation_fn,
            features_extractor_class=self.features_extractor_class,
            features_extractor_kwargs=self.features_extractor_kwargs,
            final_init=self.final_init,
        )

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        return self.actor(self.preprocess(observation))

    def linearise(self, observations: th.Tensor, next_observations: th.Tensor) -> Linearised[th.Tensor]:
        inputs, next_inputs = self.preprocess(observations), self.preprocess(next_observations)
        return (
            Differentiable(self.actor, inputs),
            Differentiable(self.value, inputs),
            Differentiable(self.value, next_inputs),
        )
