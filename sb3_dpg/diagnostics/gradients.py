"""Gradients of Q, without touching the ``grad`` of any parameter."""

import torch as th
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from sb3_dpg.common.action_values import ActionValues


def action_gradient(q: ActionValues, observations: PyTorchObs, actions: th.Tensor) -> th.Tensor:
    """
    :param q: Q(s, a)
    :param observations: Observations
    :param actions: Actions scaled to [-1, 1], (batch_size, action_dim)
    :return: dQ(s, a)/da, (batch_size, action_dim)
    """
    actions = actions.clone().requires_grad_()
    values = q(observations, actions)
    if values.requires_grad:
        (gradient,) = th.autograd.grad(values.sum(), actions)
        return gradient
    # COPDACQ's compatible critic is no autograd function, but linear in the action: differences are exact
    actions = actions.detach()
    units = th.eye(actions.shape[1], device=actions.device)
    return th.cat([q(observations, actions + unit) - values for unit in units], dim=1)


def gradient_norm(objective: th.Tensor, network: nn.Module) -> float:
    """
    :param objective: A number that depends on the network
    :param network: The network
    :return: Euclidean norm of its gradient in the weights
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    gradients = th.autograd.grad(objective, weights, retain_graph=True, allow_unused=True)
    return float(sum(gradient.square().sum() for gradient in gradients if gradient is not None)) ** 0.5
