"""Linear layers whose matrix products use the whole width of the processor."""

from typing import Any

import torch as th
from torch import nn
from torch.nn import functional as F

from sb3_dpg.common.processor import processor_is_intels

# Where PyTorch's matrix library (MKL) finds a processor that is not Intel's, it leaves AVX-512 unused. oneDNN, which PyTorch
# brings along too, uses it: 2 times faster at the DDPG paper's hidden layer of 400 x 300 on an EPYC, forward and backward,
# batch 64 to 512 (docs/speed.md). It needs more time to get going, and pays from about this many multiplications on. On
# Intel's own processors MKL is the faster one.
MIN_MULTIPLICATIONS = 1_000_000
# MKL computes a result of few columns 2 to 4 times faster as one of few rows: the gradients around a network's input
NARROW = 32
# A single observation, as when acting, is better left to PyTorch's own layer
MIN_ROWS = 32


class _Product(th.autograd.Function):
    """x W^T in single precision; its gradients are products of the same kind."""

    @staticmethod
    def forward(ctx: Any, x: th.Tensor, weight: th.Tensor) -> th.Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: th.Tensor) -> tuple[th.Tensor | None, th.Tensor | None]:
        x, weight = ctx.saved_tensors
        for_x, for_weight = ctx.needs_input_grad
        # With create_graph the gradients are to be differentiated themselves
        multiply = _Product.apply if th.is_grad_enabled() else product
        return (
            multiply(gradient, weight.t()) if for_x else None,
            multiply(gradient.t(), x.t()).contiguous() if for_weight else None,
        )


def product(x: th.Tensor, weight: th.Tensor) -> th.Tensor:
    """
    x W^T by the library that is fastest for the shapes.

    :param x: (batch_size, in_features), in single precision, on the CPU
    :param weight: W, (out_features, in_features)
    :return: (batch_size, out_features), possibly the transpose of a contiguous tensor
    """
    if len(weight) < min(NARROW, len(x)):
        return product(weight, x).t()
    if len(x) * weight.numel() >= MIN_MULTIPLICATIONS and onednn_is_faster():
        return th.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return x @ weight.t()


def onednn_is_faster() -> bool:
    """
    :return: Whether oneDNN is there, switched on (``torch.backends.mkldnn.flags``) and has vectors of 512 bits to use that MKL
        leaves unused
    """
    return (
        bool(th.backends.mkldnn.is_available())
        and bool(th.backends.mkldnn.enabled)
        and th.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(th.ops.mkldnn, "_linear_pointwise")
        and not processor_is_intels()
    )


class Linear(nn.Linear):
    """
    PyTorch's linear layer, with products of batches on the CPU done by :func:`product`: the same to the rounding of single
    precision.
    """

    def forward(self, input: th.Tensor) -> th.Tensor:
        """
        :param input: (batch_size, in_features)
        :return: (batch_size, out_features)
        """
        weight, bias = self.weight, self.bias
        # torch.compile has its own way with matrix products, and refuses oneDNN's where the weights change; a graph that is
        # exported is for any number of rows, and must not ask for them
        if th.compiler.is_compiling() or len(input) < MIN_ROWS or not _plain(input, weight):
            return F.linear(input, weight, bias)
        result = _Product.apply(input, weight) if th.is_grad_enabled() else product(input, weight)
        return result if bias is None else result + bias


def _plain(input: th.Tensor, weight: th.Tensor) -> bool:
    return (
        input.device.type == "cpu"
        and input.dtype == weight.dtype == th.float32
        and input.dim() == 2
        # torch.func (COPDACQ's MlpPolicy) asks of a Function what would cost each call as much time again
        and not th._C._are_functorch_transforms_active()
    )
