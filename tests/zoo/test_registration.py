"""register(): our algorithms in rl-zoo3's tables, and nothing else changed."""

import argparse
import copy
from pathlib import Path

import pytest
import rl_zoo3.exp_manager
import rl_zoo3.train
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from rl_zoo3.utils import ALGOS

import sb3_dpg
from sb3_dpg.zoo import register
from sb3_dpg.zoo.manager import ExperimentManager
from sb3_dpg.zoo.registration import OUR_ALGORITHMS, create_experiment_manager

TABLES = (ALGOS, HYPERPARAMS_SAMPLER, HYPERPARAMS_CONVERTER)


@pytest.fixture(autouse=True)
def _clean_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in TABLES:
        for name in OUR_ALGORITHMS:
            monkeypatch.delitem(table, name, raising=False)
    monkeypatch.setattr(rl_zoo3.train, "ExperimentManager", rl_zoo3.exp_manager.ExperimentManager)


def test_registration_adds_ours_and_only_ours_however_often() -> None:
    before = [copy.copy(table) for table in TABLES]
    register()
    once = [copy.copy(table) for table in TABLES]
    register()
    assert [dict(table) for table in TABLES] == once
    assert ALGOS["bnddpg"] is sb3_dpg.BNDDPG
    assert ALGOS["copdacq"] is sb3_dpg.COPDACQ
    for table_before, table in zip(before, TABLES, strict=True):
        assert set(table) - set(table_before) == set(OUR_ALGORITHMS)
        assert all(table[name] is value for name, value in table_before.items())


def test_train_finds_our_hyperparameters_and_leaves_builtin_algorithms_to_rl_zoo3(tmp_path: Path) -> None:
    register()
    assert rl_zoo3.train.ExperimentManager is create_experiment_manager
    args = argparse.Namespace()
    ours = rl_zoo3.train.ExperimentManager(args, "bnddpg", "Pendulum-v1", str(tmp_path))
    builtin = rl_zoo3.train.ExperimentManager(args, "td3", "HalfCheetah-v5", str(tmp_path))
    assert type(ours) is ExperimentManager
    assert ours.config.endswith("hyperparams/bnddpg.yml")
    assert Path(ours.config).is_file()
    assert type(builtin) is rl_zoo3.exp_manager.ExperimentManager
