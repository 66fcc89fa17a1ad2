"""
What the compatible update needs to know of a function f(s; weights): its value at a batch of states, and products with its
Jacobian J(s) = df / dweights, without J itself.

A direction in the space of the weights is a list of tensors of their shapes, as the weights are. Where types say tensors,
NumPy arrays will do for linear functions: ``SparseLinear`` and the update are written for both.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch as th
from torch import nn

Weights = list[th.Tensor]


class Gradient(Protocol):
    """A vector in the space of the weights, in whatever form it came about."""

    def add_to(self, weights: Weights, step_size: float) -> None:
        """
        weights += step_size * self, in place.

        :param weights: The weights, or any direction in their space
        :param step_size: Factor
        """


class Linearisation(Protocol):
    """A function of the state, linearised in its weights at a batch of states."""

    @property
    def value(self) -> th.Tensor:
        """f(s), (batch_size, n_outputs)."""

    def jvp(self, direction: Weights) -> th.Tensor:
        """
        :param direction: A direction in the space of the weights
        :return: J(s) direction, (batch_size, n_outputs)
        """

    def vjp(self, cotangent: th.Tensor) -> Gradient:
        """
        :param cotangent: One vector for each state, (batch_size, n_outputs)
        :return: The sum over the batch of J(s)^T cotangent
        """


class DenseGradient(NamedTuple):
    """A gradient with an entry for each weight."""

    tensors: Weights

    def add_to(self, weights: Weights, step_size: float) -> None:
        for weight, tensor in zip(weights, self.tensors, strict=True):
            weight += step_size * tensor


class RowsGradient(NamedTuple):
    """
    A gradient of one matrix of weights that is zero except in some rows; a row that occurs twice counts twice.

    :param indices: The rows, (batch_size, n_active)
    :param rows: What is added to all rows of one state, (batch_size, n_outputs)
    """

    indices: th.Tensor
    rows: th.Tensor

    def add_to(self, weights: Weights, step_size: float) -> None:
        (weight,) = weights
        rows: Any = (step_size * self.rows)[:, None]
        if isinstance(weight, np.ndarray):
            np.add.at(weight, self.indices, rows)
        else:
            rows = rows.expand(*self.indices.shape, rows.shape[-1])
            weight.index_add_(0, self.indices.flatten(), rows.flatten(0, 1))


class DenseLinear:
    """
    f(s) = W^T phi(s).

    :param features: phi(s), (batch_size, features_dim)
    :param weights: W, one tensor (features_dim, n_outputs)
    """

    def __init__(self, features: th.Tensor, weights: Weights) -> None:
        self.features = features
        self.value = self.jvp(weights)

    def jvp(self, direction: Weights) -> th.Tensor:
        return self.features @ direction[0]

    def vjp(self, cotangent: th.Tensor) -> DenseGradient:
        return DenseGradient([self.features.T @ cotangent])


class SparseLinear:
    """
    f(s) = W^T phi(s) for binary features: only the weights of active features are touched.

    :param active: Indices of the features that are 1, (batch_size, n_active)
    :param weights: W, one tensor (features_dim, n_outputs)
    """

    def __init__(self, active: th.Tensor, weights: Weights) -> None:
        self.active = active
        self.value = self.jvp(weights)

    def jvp(self, direction: Weights) -> th.Tensor:
        return direction[0][self.active].sum(1)

    def vjp(self, cotangent: th.Tensor) -> RowsGradient:
        return RowsGradient(self.active, cotangent)


class Clipped:
    """
    A linearised function with its value clipped to [-1, 1], its Jacobian that of the function before clipping: where it is
    saturated, the compatible features must not vanish, or it could never learn to come back.

    :param function: The function before clipping
    """

    def __init__(self, function: Linearisation) -> None:
        self.value = function.value.clip(-1.0, 1.0)
        self.jvp = function.jvp
        self.vjp = function.vjp


class Differentiable:
    """
    Any function that is a PyTorch module, by ``torch.func``.

    :param module: The module; its parameters, in their order, are the weights
    :param inputs: Its input, (batch_size, ...)
    """

    def __init__(self, module: nn.Module, inputs: th.Tensor) -> None:
        def call(parameters: Mapping[str, th.Tensor]) -> th.Tensor:
            return th.func.functional_call(module, dict(parameters), (inputs,))

        self._call = call
        self._parameters = {name: parameter.detach() for name, parameter in module.named_parameters()}
        self.value, self._pullback = th.func.vjp(call, self._parameters)[:2]

    def jvp(self, direction: Weights) -> th.Tensor:
        tangents = dict(zip(self._parameters, direction, strict=True))
        return th.func.jvp(self._call, (self._parameters,), (tangents,))[1]

    def vjp(self, cotangent: th.Tensor) -> DenseGradient:
        (gradient,) = self._pullback(cotangent)
        return DenseGradient(list(gradient.values()))
