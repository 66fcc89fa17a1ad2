"""Actor and critic of BNDDPG."""

from collections.abc import Iterator
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel, BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

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

    def own_parameters(self) -> Iterator[nn.Parameter]:
        """
        :return: The parameters that learn from the critic's loss: all but those of a shared features extractor, the actor's
        """
        return (self.q_networks if self.share_features_extractor else self).parameters()

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
