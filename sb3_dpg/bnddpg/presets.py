"""Keyword arguments of BNDDPG for known algorithms."""

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_dpg.bnddpg.policies import ADAM


def ddpg_kwargs(**kwargs: Any) -> dict[str, Any]:
    """
    SB3's DDPG, update for update: ``BNDDPG("MlpPolicy", env, **BNDDPG.ddpg_kwargs())``. (With ``"CnnPolicy"`` SB3's networks
    are smaller: ``ddpg_kwargs(policy_kwargs=dict(net_arch=[256, 256]))``.)

    :param kwargs: Further arguments of BNDDPG, or others in place of the preset's; ``policy_kwargs``, and
        ``optimizer_kwargs`` within, are merged
    :return: Keyword arguments of BNDDPG, new at every call
    """
    return _merged(
        dict(
            learning_rate=1e-3,
            actor_learning_rate=1e-3,
            learning_starts=100,
            batch_size=256,
            tau=0.005,
            action_noise=None,
            actor_warmup=0.0,
            policy_delay=1,
            target_policy_noise=0.0,
            target_min_weight=1.0,
            actor_n_critics=1,
            batch_norm=False,
            target_networks=True,
            mixed_precision=False,
            policy_kwargs=dict(net_arch=[400, 300], n_critics=1, optimizer_kwargs=dict(betas=(0.9, 0.999))),
        ),
        kwargs,
    )


def td3_kwargs(**kwargs: Any) -> dict[str, Any]:
    """
    SB3's TD3 (Fujimoto et al. 2018, https://arxiv.org/abs/1802.09477), update for update.

    :param kwargs: As for :func:`ddpg_kwargs`
    :return: Keyword arguments of BNDDPG, new at every call
    """
    preset = ddpg_kwargs(policy_delay=2, target_policy_noise=0.2, target_noise_clip=0.5, policy_kwargs=dict(n_critics=2))
    return _merged(preset, kwargs)


def paper_kwargs(pixels: bool = False, **kwargs: Any) -> dict[str, Any]:
    """
    The settings of the DDPG paper (Lillicrap et al. 2016, https://arxiv.org/abs/1509.02971, section 7).

    Adam with 1e-4 for the actor and 1e-3 for the critic, L2 weight decay of 1e-2 on the critic, gamma 0.99, tau 0.001,
    minibatches of 64 (16 from pixels), a buffer of 1e6; hidden layers of 400 and 300 with ReLU (three convolutions of 32
    filters and two layers of 200 from pixels); the action enters Q at its second hidden layer; final layers start uniform in
    +-3e-3 (+-3e-4), the others in +-1/sqrt(fan_in); batch normalisation on the state input and all layers of mu, and on all
    layers of Q before the action; OU noise with theta 0.15, sigma 0.2 and dt 1.

    One thing differs, without which it does not learn reliably: in the paper each network is normalised by its own batch, here
    critic and target critic see (s, a) and (s', mu'(s')) in one joint pass.

    From pixels the features are normalised once more than in the paper, where they enter mu and Q, and the convolutions
    follow the arguments of :class:`PaperCNN`, not ``batch_norm_momentum`` and ``batch_norm_eps``.

    :param pixels: The setting for images (with ``"CnnPolicy"``; the paper stacks 3 RGB frames of 64 x 64 pixels)
    :param kwargs: As for :func:`ddpg_kwargs`
    :return: Keyword arguments of BNDDPG, new at every call
    """
    policy_kwargs: dict[str, Any] = dict(
        net_arch=[200, 200] if pixels else [400, 300],
        n_critics=1,
        action_layer=1,
        norm_after_action=False,
        final_init=3e-4 if pixels else 3e-3,
        optimizer_kwargs=dict(betas=(0.9, 0.999)),
        critic_optimizer_kwargs=dict(weight_decay=1e-2),
    )
    if pixels:
        policy_kwargs["features_extractor_class"] = PaperCNN
    return _merged(
        dict(
            learning_rate=1e-3,
            actor_learning_rate=1e-4,
            buffer_size=1_000_000,
            batch_size=16 if pixels else 64,
            tau=0.001,
            gamma=0.99,
            action_noise=dict(type="ornstein-uhlenbeck", theta=0.15, sigma=0.2, dt=1.0),
            actor_warmup=0.0,
            policy_delay=1,
            target_policy_noise=0.0,
            target_min_weight=1.0,
            actor_n_critics=1,
            batch_norm=True,
            target_networks=True,
            mixed_precision=False,
            policy_kwargs=policy_kwargs,
        ),
        kwargs,
    )


def _merged(preset: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The preset with further arguments; those of the policy and of its optimizers are merged."""
    given = kwargs.get("policy_kwargs") or {}
    policy_kwargs = preset["policy_kwargs"] | given
    # What the preset says of Adam is not for another optimizer
    is_adam = given.get("optimizer_class", th.optim.Adam) in ADAM
    for name in ("optimizer_kwargs", "critic_optimizer_kwargs"):
        of_preset = preset["policy_kwargs"].get(name, {}) if is_adam else {}
        policy_kwargs[name] = of_preset | (given.get(name) or {})
    return preset | kwargs | dict(policy_kwargs=policy_kwargs)


class PaperCNN(BaseFeaturesExtractor):
    """
    The convolutions of the DDPG paper's pixel network (Lillicrap et al. 2016, section 7): three layers of 32 filters
    without pooling, batch normalisation on their input and on each of them. The paper does not state the kernels and
    strides: 3 x 3 with strides 2, 1 and 1 are our choice. The two layers of 200 units that follow are in ``net_arch``.

    :param observation_space: Images, channels first, at least 11 x 11
    :param batch_norm: Whether to normalise
    :param momentum: Weight of the newest batch in the running statistics
    :param eps: Added to the variance
    """

    def __init__(
        self, observation_space: spaces.Box, batch_norm: bool = True, momentum: float = 0.1, eps: float = 1e-5
    ) -> None:
        assert isinstance(observation_space, spaces.Box), f"PaperCNN needs images, not {observation_space}"
        channels, height, width = observation_space.shape
        if min(height, width) < 11:
            raise ValueError(f"PaperCNN needs images of at least 11 x 11 pixels, not {height} x {width}")

        def norm(maps: int) -> list[nn.Module]:
            return [nn.BatchNorm2d(maps, eps, momentum)] if batch_norm else []

        modules = norm(channels)
        for maps, stride in ((channels, 2), (32, 1), (32, 1)):
            modules += [nn.Conv2d(maps, 32, 3, stride, bias=not batch_norm), *norm(32), nn.ReLU()]
        cnn = nn.Sequential(*modules, nn.Flatten())
        with th.no_grad():
            features_dim = cnn.eval()(th.zeros(1, channels, height, width)).shape[1]
        super().__init__(observation_space, features_dim)
        self.cnn = cnn

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: Images, (batch_size, channels, height, width), in [0, 1]
        :return: Features, (batch_size, features_dim)
        """
        return self.cnn(observations)
