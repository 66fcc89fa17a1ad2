"""The settings of the DDPG paper."""

from typing import Any

from sb3_dpg.common.torch_layers import PaperCNN


def paper_kwargs(pixels: bool = False) -> dict[str, Any]:
    """
    The keyword arguments of the DDPG paper (Lillicrap et al. 2016, https://arxiv.org/abs/1509.02971, section 7):
    ``BNDDPG("MlpPolicy", env, **BNDDPG.paper_kwargs())``.

    Adam with 1e-4 for the actor and 1e-3 for the critic, L2 weight decay of 1e-2 on the critic, gamma 0.99, tau 0.001,
    minibatches of 64 (16 from pixels), a buffer of 1e6; hidden layers of 400 and 300 with ReLU (three convolutions of 32
    filters and two layers of 200 from pixels); the action enters Q at its second hidden layer; final layers start uniform in
    +-3e-3 (+-3e-4), the others in +-1/sqrt(fan_in); batch normalisation on the state input and all layers of mu, and on all
    layers of Q before the action; OU noise with theta 0.15, sigma 0.2 and dt 1. In training every network is normalised by
    its own batch, which is ``batch_norm_mode="target-batch"``.

    From pixels the features are normalised once more than in the paper, where they enter mu and Q, and the convolutions
    follow the arguments of :class:`~sb3_dpg.common.torch_layers.PaperCNN`, not ``batch_norm_momentum``, ``batch_norm_eps``
    and ``renorm``.

    :param pixels: The setting for images (with ``"CnnPolicy"``; the paper stacks 3 RGB frames of 64 x 64 pixels)
    :return: Keyword arguments of BNDDPG, new at every call
    """
    policy_kwargs: dict[str, Any] = dict(
        net_arch=[200, 200] if pixels else [400, 300],
        action_layer=1,
        norm_after_action=False,
        final_init=3e-4 if pixels else 3e-3,
        critic_optimizer_kwargs=dict(weight_decay=1e-2),
    )
    if pixels:
        policy_kwargs["features_extractor_class"] = PaperCNN
    return dict(
        learning_rate=1e-3,
        actor_learning_rate=1e-4,
        buffer_size=1_000_000,
        batch_size=16 if pixels else 64,
        tau=0.001,
        gamma=0.99,
        action_noise=dict(type="ornstein-uhlenbeck", theta=0.15, sigma=0.2, dt=1.0),
        batch_norm_mode="target-batch",
        policy_kwargs=policy_kwargs,
    )
