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
from sb3_dpg.zoo.algorithms import OUR_ALGORITHMS
from sb3_dpg.zoo.manager import ExperimentManager
from sb3_dpg.zoo.playback import register_for_playback
from sb3_dpg.zoo.registration import create_experiment_manager, register_algorithms

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


def test_playback_loads_under_the_same_name_without_a_replay_buffer(tmp_path: Path) -> None:
    register_algorithms()
    model = ALGOS["bnddpg"]("MlpPolicy", "Pendulum-v1", buffer_size=5000, policy_kwargs={"net_arch": [4]}, device="cpu")
    model.save(tmp_path / "model")
    register_for_playback()
    assert ALGOS["bnddpg"].__name__ == "BNDDPG"
    loaded = ALGOS["bnddpg"].load(tmp_path / "model.zip", env=model.get_env(), device="cpu")
    assert loaded.replay_buffer.buffer_size == 1
    # ... and pushing it to the hub does not lose the size it was trained with
    assert loaded.buffer_size == 5000
