"""Our algorithms in rl-zoo3's tables."""

from typing import Any

from rl_zoo3.exp_manager import ExperimentManager as ZooExperimentManager
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from rl_zoo3.utils import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm

import sb3_dpg.envs  # noqa: F401  # registers our environments with Gymnasium
from sb3_dpg import BNDDPG, COPDACQ
from sb3_dpg.zoo.manager import ExperimentManager
from sb3_dpg.zoo.patches import replace_permanently
from sb3_dpg.zoo.search import CONVERTERS, SAMPLERS

#: Names of our algorithms in rl-zoo3
OUR_ALGORITHMS = ("bnddpg", "copdacq")


def register_algorithms() -> dict[str, type[BaseAlgorithm]]:
    """Put our algorithms, samplers and converters into rl-zoo3's tables, and return that of the algorithms."""
    ALGOS.update(zip(OUR_ALGORITHMS, (BNDDPG, COPDACQ), strict=True))
    HYPERPARAMS_SAMPLER.update(SAMPLERS)
    HYPERPARAMS_CONVERTER.update(CONVERTERS)
    return ALGOS


def create_experiment_manager(args: Any, algo: str, *rest: Any, **kwargs: Any) -> ZooExperimentManager:
    """Ours for our algorithms, rl-zoo3's own for all others."""
    manager_class = ExperimentManager if algo in OUR_ALGORITHMS else ZooExperimentManager
    return manager_class(args, algo, *rest, **kwargs)


def register() -> None:
    """
    Teach rl-zoo3 our algorithms: for people who call its functions from scripts of their own.

    Afterwards "bnddpg" and "copdacq" are known to all of rl-zoo3, and ``rl_zoo3.train.train()`` finds their shipped
    hyperparameters. The built-in algorithms are handled by rl-zoo3's own code as before. Calling it again changes nothing.

    Example::

        import sb3_dpg.zoo
        from rl_zoo3.train import train

        if __name__ == "__main__":  # the processes of --vec-env subproc import the script
            sb3_dpg.zoo.register()
            train()  # reads sys.argv, as python -m rl_zoo3.train does
    """
    register_algorithms()
    replace_permanently("ExperimentManager", create_experiment_manager)
