"""Whether agents keep what they have learned."""

from typing import NamedTuple

import numpy as np

#: Share of the best score, above that of a random agent, whose loss counts as a collapse
LOSS = 0.2


class Stability(NamedTuple):
    """
    All in normalised scores, for one algorithm on one environment.

    :param best: Best evaluation of each seed, (n_seeds,)
    :param last: Last evaluation of each seed, (n_seeds,)
    """

    best: np.ndarray
    last: np.ndarray

    @property
    def drop(self) -> np.ndarray:
        """From the best to the last evaluation, (n_seeds,)"""
        return self.best - self.last

    @property
    def lost(self) -> np.ndarray:
        """
        Which seeds lost more than 20 % of their best score, (n_seeds,). The zero of the scale is a random agent; who never was
        better than that had nothing to lose.
        """
        return (self.best > 0) & (self.drop > LOSS * self.best)


def stability(scores: np.ndarray) -> Stability:
    """
    :param scores: Normalised scores of the evaluations in their order, (n_seeds, n_points)
    :return: How they ended
    """
    return Stability(best=scores.max(axis=1), last=scores[:, -1])
