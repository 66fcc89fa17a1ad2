"""Stopping a training that diverges, with weights that can still be saved."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch as th
from numpy.typing import ArrayLike
from torch.nn.parameter import is_lazy

from sb3_dpg.common.torch_layers import batch_norm_statistics

# As SB3's get_parameters gives it: the state of each network and optimizer by name
State = dict[str, dict[Any, Any]]

# Updates between two copies of the weights; the older of the last two is what a diverged training goes back to
SNAPSHOT_INTERVAL = 1000


class DivergenceError(ValueError):
    """
    A loss, a TD error or the weights became infinite, NaN or larger than the limit.

    A ``ValueError``, because that is what rl-zoo3's hyperparameter search takes for a trial to prune.
    """


class WeightsGuard:
    """
    Keeps copies of weights and optimizers, to put them back when training diverges.

    The newest copy may hold the update that does the harm, seen only in the next loss: so the older of two is put back.
    Both stay on the weights' device; with two moments an optimizer they take eight times the space of the networks.
    """

    def __init__(self) -> None:
        #: Of at least ``SNAPSHOT_INTERVAL`` updates ago, or of the start; None before the first training starts
        self.last_good: State | None = None
        self._newer: State | None = None
        #: The update after which the next copy is due
        self.is_due_after = 0

    def keep(self, n_updates: int, parameters: State) -> None:
        """
        To be called when the first training starts, and with updates that were found sane, when a copy is due.

        :param n_updates: Updates so far
        :param parameters: What to go back to, copied here: nested dictionaries of tensors (SB3's ``get_parameters``)
        """
        newer = copy.deepcopy(parameters)
        self.last_good, self._newer = newer if self._newer is None else self._newer, newer
        self.is_due_after = n_updates + SNAPSHOT_INTERVAL - 1


def finite_weights(module: th.nn.Module) -> bool:
    """
    :param module: A network
    :return: Whether all its parameters and statistics are finite (waits for the device once). Other buffers are their
        module's own affair, which may mean something by an infinite one; lazy parameters have no values yet
    """
    parameters = [parameter.detach() for parameter in module.parameters() if not is_lazy(parameter)]
    total = sum((tensor * 0.0).sum() for tensor in [*parameters, *batch_norm_statistics(module)])
    return bool(total == 0.0)


def all_finite(values: ArrayLike | Mapping[str, Any]) -> bool:
    """
    :param values: An array or what NumPy makes one of, or these by key: environments may observe in Python's numbers
    :return: Whether all are finite
    """
    if isinstance(values, Mapping):
        return all(map(all_finite, values.values()))
    values = np.asarray(values)
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())
