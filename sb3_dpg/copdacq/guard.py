"""Stopping a training that diverges, before it spoils the weights."""

from collections.abc import Sequence

import torch as th

# Updates between two copies of the weights; the older of the last two is what a diverged training goes back to
SNAPSHOT_INTERVAL = 1000


class DivergenceError(ValueError):
    """
    The TD error became infinite, NaN or larger than the limit.

    A ``ValueError``, because that is what rl-zoo3's hyperparameter search takes for a trial to prune.
    """


class DivergenceGuard:
    """
    Keeps copies of the weights and puts them back when the TD error explodes.

    :param parameters: All weights that are learned
    :param limit: Largest absolute TD error that is not an explosion
    """

    def __init__(self, parameters: Sequence[th.Tensor], limit: float) -> None:
        self.parameters = list(parameters)
        self.limit = limit
        self.n_checks = 0
        self._older = self._newer = self._copy()

    def _copy(self) -> list[th.Tensor]:
        return [parameter.detach().clone() for parameter in self.parameters]

    def is_sane(self, td_error: float) -> bool:
        """
        To be called before each update is applied.

        :param td_error: Largest absolute TD error of the update
        :return: Whether it is finite and below the limit
        """
        if not td_error <= self.limit:  # NaN compares as False
            return False
        self.n_checks += 1
        if self.n_checks % SNAPSHOT_INTERVAL == 0:
            self._older, self._newer = self._newer, self._copy()
        return True

    @th.no_grad()
    def restore(self) -> None:
        """Put back the weights of at least ``SNAPSHOT_INTERVAL`` updates ago, or those of the start."""
        for parameter, good in zip(self.parameters, self._older, strict=True):
            parameter.copy_(good)
