"""Linear layers whose matrix products use the whole width of the processor."""

from typing import Any

import torch as th
from torch import nn
from torch.nn import functional as F

# Where PyTorch's matrix library (MKL) finds a processor that is not Intel's, it leaves AVX-512 unused. oneDNN, which PyTorch
# brings along too, uses it: 2.2 times faster at the DDPG paper's hidden layer of 400 x 300 on an EPYC, forward and backward,
# batch 64 to 512 (docs/speed.md). It needs more time to get going: small products stay where they are.
MIN_ROWS = 32
MIN_WEIGHTS = 128 * 128


class _OneDNNProduct(th.autograd.Function):
    """x W^T in single precision by oneDNN; its gradients are products of the same kind, and so differentiable themselves."""

    @staticmethod
    def forward(ctx: Any, x: th.Tensor, weight: th.Tensor) -> th.Tensor:
        ctx.save_for_backward(x, weight)
        return th.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")

    @staticmethod
    def backward(ctx: Any, gradient: th.Tensor) -> tuple[th.Tensor | None, th.Tensor | None]:
        x, weight = ctx.saved_tensors
        for_x, for_weight = ctx.needs_input_grad
        return (
            _OneDNNProduct.apply(gradient, weight.t()) if for_x else None,
            _OneDNNProduct.apply(gradient.t(), x.t()) if for_weight else None,
        )


def onednn_available() -> bool:
    """
    :return: Whether oneDNN is there, switched on (``torch.backends.mkldnn.flags``) and has vectors of 512 bits to use
    """
    return (
        bool(th.backends.mkldnn.is_available())
        and bool(th.backends.mkldnn.enabled)
        and th.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(th.ops.mkldnn, "_linear_pointwise")
    )


class Linear(nn.Linear):
    """
    PyTorch's linear layer, with large products on the CPU done by oneDNN: the same to the rounding of single precision.
    """

    def forward(self, input: th.Tensor) -> th.Tensor:
        """
        :param input: (batch_size, in_features)
        :return: (batch_size, out_features)
        """
        # torch.compile has its own way with matrix products, and refuses oneDNN's where the weights change; a graph that is
        # exported is for any number of rows, and must not ask for them
        if th.compiler.is_compiling() or len(input) < MIN_ROWS or not self._onednn(input):
            return F.linear(input, self.weight, self.bias)
        product = _OneDNNProduct.apply(input, self.weight)
        return product if self.bias is None else product + self.bias

    def _onednn(self, input: th.Tensor) -> bool:
        return (
            self.weight.numel() >= MIN_WEIGHTS
            and input.device.type == "cpu"
            and input.dtype == self.weight.dtype == th.float32
            and input.dim() == 2
            and onednn_available()
        )
