"""The steps that every update of a deep actor-critic is made of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch as th
from stable_baselines3.common.type_aliases import TensorDict
from torch import nn


def gradient_step(
    optimizer: th.optim.Optimizer, loss: th.Tensor, parameters: Sequence[nn.Parameter], gradient_clip: float | None
) -> None:
    """
    One step down the gradient of a loss, for some of the parameters that it depends on.

    :param optimizer: The optimizer of these parameters and no others
    :param loss: The loss, a scalar
    :param parameters: The parameters to step; frozen ones (``requires_grad=False``) stay as they are
    :param gradient_clip: Largest norm of their gradient, None for no limit
    """
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    if len(learned) == 0:
        return
    gradients = th.autograd.grad(loss, learned, allow_unused=True)
    # The optimizer steps whatever has a gradient: one that was frozen since its last step still has that of then
    optimizer.zero_grad()
    for parameter, gradient in zip(learned, gradients, strict=True):
        parameter.grad = gradient
    if gradient_clip is not None:
        nn.utils.clip_grad_norm_(parameters, gradient_clip)
    optimizer.step()


@contextmanager
def without_gradients(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """
    Take no gradients in these parameters: those of the critic's weights, which the actor's loss would otherwise compute and
    throw away, are a third of its backward pass.

    :param parameters: The parameters
    """
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad = True


@th.no_grad()
def polyak_update(parameters: list[th.Tensor], target_parameters: list[th.Tensor], tau: float) -> None:
    """
    theta' <- tau theta + (1 - tau) theta', one call for all tensors.

    :param parameters: theta, of the online networks
    :param target_parameters: theta', of the target networks, changed in place
    :param tau: The soft update coefficient, in (0, 1]
    """
    th._foreach_lerp_(target_parameters, parameters, tau)


def join(first: th.Tensor | TensorDict, second: th.Tensor | TensorDict) -> th.Tensor | TensorDict:
    """
    Two batches of observations as one.

    :param first: Observations, tensors of the shape (batch_size, ...), possibly by key
    :param second: Observations of the same form
    :return: Observations, (2 * batch_size, ...), the first batch first
    """
    if isinstance(first, dict):
        assert isinstance(second, dict)
        return {key: th.cat([value, second[key]]) for key, value in first.items()}
    assert isinstance(second, th.Tensor)
    return th.cat([first, second])
