"""Values of many actions for each state, without a copy of the observation, and a pass through its features, for each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from sb3_dpg.common.action_values import ActionValues, CompatibleValues, action_values
from sb3_dpg.diagnostics.gradients import action_gradient

#: From actions scaled to [-1, 1], (n_observations, n_samples, action_dim), to their values, (n_observations, n_samples)
CandidateValues: TypeAlias = Callable[[th.Tensor], th.Tensor]

#: The critic sees at most so many numbers at once, unless those of one observation are more: 64 MiB in single precision
MAX_NUMBERS = 2**24


def candidate_values(model: BaseAlgorithm, observations: PyTorchObs) -> CandidateValues:
    """
    Q(s, a) of some states, for any number of actions in each.

    A compatible critic is linear in the action, and needs a few values of each state to know all others. A critic whose
    features are learned (a CNN) computes them once a state. Other critics see each observation once for each action.

    :param model: Any SB3 off-policy actor-critic, in evaluation mode
    :param observations: The states, as the model gets them, as tensors
    :return: The values as a function of the actions; it needs the model as it is now
    :raises TypeError: if the model has no critic of states and actions
    """
    q = action_values(model)
    some_actions = th.zeros(_length(observations), get_action_dim(model.action_space), device=model.device)
    if isinstance(model.policy, CompatibleValues):
        return _linear(q(observations, some_actions), action_gradient(q, observations, some_actions))
    extractor = getattr(getattr(model, "critic", None), "features_extractor", None)
    if isinstance(extractor, nn.Module) and len(list(extractor.parameters())) > 0:
        with _outputs(extractor) as outputs:
            q(observations, some_actions)
        if len(outputs) == 1:
            return _by_features(q, observations, extractor, outputs[0])
    return _by_copies(q, observations)


def _linear(values: th.Tensor, gradients: th.Tensor) -> CandidateValues:
    """
    :param values: Q(s, 0), (n_observations, 1)
    :param gradients: dQ(s, a)/da, the same for all a, (n_observations, action_dim)
    :return: The values as a function of the actions
    """
    return lambda actions: values + (actions * gradients[:, None]).sum(2)


def _by_features(q: ActionValues, observations: PyTorchObs, extractor: nn.Module, features: th.Tensor) -> CandidateValues:
    """
    :param q: Q(s, a) of a critic
    :param observations: Observations
    :param extractor: Its features extractor
    :param features: What that gives for the observations, (n_observations, features_dim)
    :return: The values as a function of the actions
    """

    def values(some: slice, actions: th.Tensor) -> th.Tensor:
        with _instead_of(extractor, features[some].repeat_interleave(actions.shape[1], 0)):
            return q(_rows(observations, some), actions.flatten(0, 1))

    return lambda actions: _in_chunks(values, actions, features[0].numel())


def _by_copies(q: ActionValues, observations: PyTorchObs) -> CandidateValues:
    """
    :param q: Q(s, a) of a critic
    :param observations: Observations
    :return: The values as a function of the actions
    """

    def values(some: slice, actions: th.Tensor) -> th.Tensor:
        return q(_repeat(_rows(observations, some), actions.shape[1]), actions.flatten(0, 1))

    tensors = observations.values() if isinstance(observations, dict) else [observations]
    return lambda actions: _in_chunks(values, actions, sum(tensor[0].numel() for tensor in tensors))


def _in_chunks(values: Callable[[slice, th.Tensor], th.Tensor], actions: th.Tensor, numbers: int) -> th.Tensor:
    """
    :param values: Q of the actions that are tried in some of the states, (n_states * n_samples, 1)
    :param actions: The actions, (n_observations, n_samples, action_dim)
    :param numbers: How many numbers the critic sees for each action
    :return: Q of all, (n_observations, n_samples)
    """
    n_observations, n_samples = actions.shape[:2]
    size = max(1, MAX_NUMBERS // (numbers * n_samples))
    chunks = [slice(start, start + size) for start in range(0, n_observations, size)]
    return th.cat([values(some, actions[some]) for some in chunks]).view(n_observations, n_samples)


@contextmanager
def _outputs(module: nn.Module) -> Iterator[list[th.Tensor]]:
    """
    :param module: A module
    :return: What it gives meanwhile
    """
    outputs: list[th.Tensor] = []
    # Detached: SB3's critics keep the graph of their features, even without gradients
    handle = module.register_forward_hook(lambda module, inputs, output: outputs.append(output.detach()))
    try:
        yield outputs
    finally:
        handle.remove()


@contextmanager
def _instead_of(module: nn.Module, output: th.Tensor) -> Iterator[None]:
    """
    :param module: A module
    :param output: What it gives meanwhile, whatever it is given
    """
    module.forward = lambda *inputs: output
    try:
        yield
    finally:
        # Its class's method is visible again
        del module.forward


def _length(observations: PyTorchObs) -> int:
    """
    :param observations: Observations
    :return: How many
    """
    return len(next(iter(observations.values())) if isinstance(observations, dict) else observations)


def _rows(observations: PyTorchObs, some: slice) -> PyTorchObs:
    """
    :param observations: Observations
    :param some: Which of them
    :return: These
    """
    if isinstance(observations, dict):
        return {name: tensor[some] for name, tensor in observations.items()}
    return observations[some]


def _repeat(observations: PyTorchObs, times: int) -> PyTorchObs:
    """
    :param observations: Observations
    :param times: How often each is to follow itself
    :return: The longer batch
    """
    if isinstance(observations, dict):
        return {name: tensor.repeat_interleave(times, 0) for name, tensor in observations.items()}
    return observations.repeat_interleave(times, 0)
