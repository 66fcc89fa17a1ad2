"""
What the compatible update needs to know of a function f(s; weights): its value at a batch of states, and products with its
Jacobian J(s) = df / dweights, without J itself.

A direction in the space of the weights is a list of arrays of their shapes, as the weights are. Linear functions are written
for PyTorch's tensors and NumPy's arrays alike.
"""

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import torch as th
from torch import nn

ArrayT = TypeVar("ArrayT", th.Tensor, np.ndarray)
Weights: TypeAlias = list[ArrayT]


class DenseGradient(Generic[ArrayT]):
    """
    A vector in the space of the weights.

    :param arrays: As the weights
    """

    def __init__(self, arrays: Weights[ArrayT]) -> None:
        self.arrays: Weights[ArrayT] = arrays

    def add_to(self, weights: Weights[ArrayT], step_size: float) -> None:
        """
        weights += step_size * self, in place.

        :param weights: The weights, or any direction in their space
        :param step_size: Factor
        """
        for weight, array in zip(weights, self.arrays, strict=True):
            weight += step_size * array


class RowsGradient(Generic[ArrayT]):
    """
    A gradient of one matrix of weights that is zero except in some rows; a row that occurs twice counts twice.

    :param indices: The rows, (batch_size, n_active)
    :param rows: What is added to all rows of one state, (batch_size, n_outputs)
    """

    def __init__(self, indices: ArrayT, rows: ArrayT) -> None:
        self.indices: ArrayT = indices
        self.rows: ArrayT = rows

    def add_to(self, weights: Weights[ArrayT], step_size: float) -> None:
        """As :meth:`DenseGradient.add_to`."""
        (weight,) = weights
        rows = (step_size * self.rows)[:, None]
        if isinstance(weight, np.ndarray):
            np.add.at(weight, self.indices, rows)
        else:
            rows = rows.expand(*self.indices.shape, rows.shape[-1])
            weight.index_add_(0, self.indices.flatten(), rows.flatten(0, 1))


Gradient: TypeAlias = DenseGradient[ArrayT] | RowsGradient[ArrayT]


class Linearisation(Protocol[ArrayT]):
    """A function of the state, linearised in its weights at a batch of states."""

    @property
    def value(self) -> ArrayT:
        """f(s), (batch_size, n_outputs)."""

    def jvp(self, direction: Weights[ArrayT]) -> ArrayT:
        """
        :param direction: A direction in the space of the weights
        :return: J(s) direction, (batch_size, n_outputs)
        """

    def vjp(self, cotangent: ArrayT) -> Gradient[ArrayT]:
        """
        :param cotangent: One vector for each state, (batch_size, n_outputs)
        :return: The mean over the batch of J(s)^T cotangent
        """


#: mu at s, V at s and V at s'
Linearised: TypeAlias = tuple[Linearisation[ArrayT], Linearisation[ArrayT], Linearisation[ArrayT]]


class DenseLinear:
    """
    f(s) = W^T phi(s).

    :param features: phi(s), (batch_size, features_dim)
    :param weights: W, one tensor (features_dim, n_outputs)
    """

    def __init__(self, features: th.Tensor, weights: Weights[th.Tensor]) -> None:
        self.features = features
        self.value = self.jvp(weights)

    def jvp(self, direction: Weights[th.Tensor]) -> th.Tensor:
        return self.features @ direction[0]

    def vjp(self, cotangent: th.Tensor) -> Gradient[th.Tensor]:
        return DenseGradient([self.features.T @ (cotangent / len(cotangent))])


class SparseLinear(Generic[ArrayT]):
    """
    f(s) = W^T phi(s) for binary features: only the weights of active features are touched.

    :param active: Indices of the features that are 1, (batch_size, n_active)
    :param weights: W, one array (features_dim, n_outputs)
    """

    def __init__(self, active: ArrayT, weights: Weights[ArrayT]) -> None:
        self.active: ArrayT = active
        self.value: ArrayT = self.jvp(weights)

    def jvp(self, direction: Weights[ArrayT]) -> ArrayT:
        return direction[0][self.active].sum(1)

    def vjp(self, cotangent: ArrayT) -> Gradient[ArrayT]:
        return RowsGradient(self.active, cotangent / len(cotangent))


class Clipped(Generic[ArrayT]):
    """
    A linearised function with its value clipped to [-1, 1], its Jacobian that of the function before clipping: where it is
    saturated, the compatible features must not vanish, or it could never learn to come back.

    :param function: The function before clipping
    """

    def __init__(self, function: Linearisation[ArrayT]) -> None:
        self.value: ArrayT = function.value.clip(-1.0, 1.0)
        self.jvp: Callable[[Weights[ArrayT]], ArrayT] = function.jvp
        self.vjp: Callable[[ArrayT], Gradient[ArrayT]] = function.vjp


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

    def jvp(self, direction: Weights[th.Tensor]) -> th.Tensor:
        tangents = dict(zip(self._parameters, direction, strict=True))
        return th.func.jvp(self._call, (self._parameters,), (tangents,))[1]

    def vjp(self, cotangent: th.Tensor) -> Gradient[th.Tensor]:
        (gradient,) = self._pullback(cotangent / len(cotangent))
        return DenseGradient(list(gradient.values()))
