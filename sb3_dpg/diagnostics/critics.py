"""One form of Q(s, a) for the critics of all algorithms, its gradients, and batches of observations of any form."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.td3 import TD3
from torch import nn

Observation: TypeAlias = np.ndarray | dict[str, np.ndarray]
ArrayT = TypeVar("ArrayT", th.Tensor, np.ndarray)

#: From observations and scaled actions (batch_size, action_dim) to values (batch_size, 1)
ActionValues: TypeAlias = Callable[[PyTorchObs, th.Tensor], th.Tensor]


def compatible_policy(model: BaseAlgorithm) -> Any:
    """
    The policy of a model without a critic that knows the values of actions itself, as the compatible ones of COPDACQ do
    (linear in the action: Silver et al. 2014, theorem 3); None for other models.
    """
    policy: Any = model.policy
    return policy if hasattr(policy, "q_values") and getattr(model, "critic", None) is None else None


def action_values(model: BaseAlgorithm) -> ActionValues:
    """
    Q(s, a) by which an actor is judged.

    :param model: Any SB3 off-policy actor-critic
    :return: What the actor climbs: ``q_values`` where the model has such a method (BNDDPG: the mean of its critics), the first
        of TD3's critics, the smallest of several others (SAC, CrossQ), the mean over critics and atoms of a distributional one
        (TQC), the compatible one of COPDACQ; a function of observations as the model gets them (as tensors) and actions
        scaled to [-1, 1]
    :raises TypeError: if the model has no critic of states and actions
    """
    q_values: ActionValues | None = getattr(compatible_policy(model) or model, "q_values", None)
    if q_values is not None:
        return q_values
    critic = getattr(model, "critic", None)
    if not isinstance(model, OffPolicyAlgorithm) or not callable(critic):
        raise TypeError(
            f"{type(model).__name__} has no critic(observations, actions) to look at: this needs an off-policy actor-critic "
            "algorithm, such as BNDDPG, TD3 or SAC"
        )

    def one_value(observations: PyTorchObs, actions: th.Tensor) -> th.Tensor:
        values = critic(observations, actions)
        if isinstance(values, th.Tensor):
            # TQC: (batch_size, n_critics, n_quantiles)
            return values.flatten(1).mean(1, keepdim=True)
        if isinstance(model, TD3):
            return values[0]
        return th.cat(tuple(values), dim=1).min(1, keepdim=True).values

    return one_value


def greedy_actions(model: BaseAlgorithm, observations: PyTorchObs) -> th.Tensor:
    """mu(s), scaled to [-1, 1], (batch_size, action_dim), of the actor that learns where the policy acts by an average."""
    actor = getattr(model, "actor", None)
    policy = actor if isinstance(actor, BasePolicy) else model.policy
    return policy._predict(observations, deterministic=True).flatten(1)


@contextmanager
def evaluation_mode(model: BaseAlgorithm) -> Iterator[None]:
    """Look at a model without leaving a trace: batch norm by running statistics, no dropout, then each module's mode again."""
    modes = [(module, module.training) for module in model.policy.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


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
    """Euclidean norm of the gradient in the weights of a network of a number that depends on it; no ``grad`` is touched."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:  # frozen
        return 0.0
    gradients = th.autograd.grad(objective, weights, retain_graph=True, allow_unused=True)
    return float(nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None]))


def each(function: Callable[[ArrayT], ArrayT], observations: ArrayT | dict[str, ArrayT]) -> ArrayT | dict[str, ArrayT]:
    """A function of arrays for observations that may be dictionaries of them."""
    if isinstance(observations, dict):
        return {key: function(value) for key, value in observations.items()}
    return function(observations)


def row(observations: Observation, index: int) -> Observation:
    """A copy of the observation of one of several environments."""
    return each(lambda array: np.asarray(array)[index].copy(), observations)


def stack(observations: Sequence[Observation]) -> Observation:
    """Observations of one environment as one batch."""
    first = observations[0]
    if isinstance(first, dict):
        return {key: np.stack([observation[key] for observation in observations]) for key in first}
    return np.stack([np.asarray(observation) for observation in observations])
