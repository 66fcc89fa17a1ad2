"""One form of Q(s, a) for the critics of all algorithms."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeAlias, runtime_checkable

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import PyTorchObs

#: From observations and scaled actions (batch_size, action_dim) to values (batch_size, 1)
ActionValues: TypeAlias = Callable[[PyTorchObs, th.Tensor], th.Tensor]


@runtime_checkable
class CompatibleValues(Protocol):
    """
    A policy that knows the values of actions itself, as the compatible ones of COPDACQ do: there is no ``critic`` then. They
    are linear in the action (Silver et al. 2014, theorem 3).
    """

    def q_values(self, observations: PyTorchObs, actions: th.Tensor) -> th.Tensor:
        """
        :param observations: s as the model gets them, (batch_size, ...)
        :param actions: Actions a, scaled to [-1, 1], (batch_size, action_dim)
        :return: Q(s, a), (batch_size, 1)
        """


def action_values(model: BaseAlgorithm) -> ActionValues:
    """
    Q(s, a) as the actor is to maximise it.

    :param model: Any SB3 off-policy actor-critic
    :return: The smallest of several critics (TD3, SAC), the mean over critics and atoms of a distributional one (TQC), the
        compatible one of COPDACQ; a function of observations as the model gets them (as tensors) and actions scaled to [-1, 1]
    :raises TypeError: if the model has no critic of states and actions
    """
    policy = model.policy
    if isinstance(policy, CompatibleValues):
        return policy.q_values
    critic = getattr(model, "critic", None)
    if not isinstance(model, OffPolicyAlgorithm) or not callable(critic):
        raise TypeError(
            f"{type(model).__name__} has no critic(observations, actions) to look at: this needs an off-policy actor-critic "
            "algorithm, such as BNDDPG, TD3 or SAC"
        )

    def smallest(observations: PyTorchObs, actions: th.Tensor) -> th.Tensor:
        values = critic(observations, actions)
        if isinstance(values, th.Tensor):
            # TQC: (batch_size, n_critics, n_quantiles)
            return values.flatten(1).mean(1, keepdim=True)
        return th.cat(tuple(values), dim=1).min(1, keepdim=True).values

    return smallest


def greedy_actions(model: BaseAlgorithm, observations: PyTorchObs) -> th.Tensor:
    """
    :param model: The model, with a policy that squashes its actions to [-1, 1]
    :param observations: Observations as the model gets them, as tensors
    :return: mu(s) scaled to [-1, 1], (batch_size, action_dim)
    """
    return model.policy._predict(observations, deterministic=True).flatten(1)


@contextmanager
def evaluation_mode(model: BaseAlgorithm) -> Iterator[None]:
    """
    Look at a model without leaving a trace: batch norm by running statistics, no dropout, and each module's mode put back.

    :param model: The model
    """
    modes = [(module, module.training) for module in model.policy.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
