"""Our algorithms by the names that they have in rl-zoo3."""

from stable_baselines3.common.base_class import BaseAlgorithm

#: Names of our algorithms in rl-zoo3
OUR_ALGORITHMS = ("bnddpg", "copdacq")


def algorithm_classes() -> dict[str, type[BaseAlgorithm]]:
    """
    :return: Our algorithms by the name they have in rl-zoo3
    """
    from sb3_dpg import BNDDPG, COPDACQ

    return dict(zip(OUR_ALGORITHMS, (BNDDPG, COPDACQ), strict=True))
