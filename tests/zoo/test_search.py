"""Search spaces: what is sampled can be trained, and comes back exactly."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import optuna
import pytest
import yaml
from rl_zoo3.exp_manager import ExperimentManager as ZooExperimentManager
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from rl_zoo3.utils import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.envs import BitFlippingEnv

from sb3_dpg import BNDDPG
from sb3_dpg.common.callbacks import ActionNoiseCallback
from sb3_dpg.common.errors import ConfigurationError
from sb3_dpg.common.noise import GaussianNoise, OrnsteinUhlenbeckNoise, SummedNoise, make_noise
from sb3_dpg.zoo.hyperparameters import read_entry, shipped_hyperparameters
from sb3_dpg.zoo.manager import ExperimentManager
from tests.zoo.entries import tiny_entry

WriteConfig = Callable[..., Path]
MakeManager = Callable[..., ExperimentManager]
#: One trial of one evaluation
SHORT_SEARCH: dict[str, Any] = {
    "n_trials": 1, "n_evaluations": 1, "n_eval_episodes": 1, "sampler": "random", "pruner": "none", "no_optim_plots": True,
}  # fmt: skip
ADDITIONAL = {"using_her_replay_buffer": False, "her_kwargs": {}}


def random_trials(algo: str, n_trials: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of what the sampler returned and what Optuna stored."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = []
    for _ in range(n_trials):
        trial = study.ask()
        trials.append((HYPERPARAMS_SAMPLER[algo](trial, 1, 1, dict(ADDITIONAL)), dict(trial.params)))
    return trials


@pytest.mark.parametrize("algo", ["bnddpg", "copdacq"])
def test_every_sample_makes_an_agent_and_comes_back_from_the_study(algo: str) -> None:
    noise_types = set()
    for sampled, stored in random_trials(algo, 25):
        stored_before = dict(stored)
        assert HYPERPARAMS_CONVERTER[algo](stored) == sampled
        assert stored == stored_before
        with warnings.catch_warnings():
            # Such as of an argument without effect
            warnings.filterwarnings("error", category=UserWarning, message="BNDDPG has")
            model = ALGOS[algo](policy="MlpPolicy" if algo == "bnddpg" else "LinearPolicy", env="Pendulum-v1", **sampled)
        noise_types.add(type(model.action_noise))
        assert model.gamma == sampled["gamma"]
    assert noise_types == {type(None), GaussianNoise, OrnsteinUhlenbeckNoise, *([SummedNoise] if algo == "bnddpg" else [])}


def test_a_trial_of_one_critic_does_not_keep_the_entrys_number_for_the_actor() -> None:
    for sampled, _ in random_trials("bnddpg", 10):
        entry = {"actor_n_critics": 2, **sampled}
        assert BNDDPG("MlpPolicy", "Pendulum-v1", **entry).critic.n_critics == sampled["policy_kwargs"]["n_critics"]


def test_a_study_of_another_search_space_is_named(
    write_config: WriteConfig, make_manager: MakeManager, tmp_path: Path
) -> None:
    storage = str(tmp_path / "study.log")
    study = optuna.create_study(storage=search_storage(storage), study_name="s", direction="maximize")
    trial = study.ask()
    trial.suggest_categorical("net_arch", ["other"])
    study.tell(trial, 0.0)
    config, arguments = write_config(tiny_entry("bnddpg")), {"storage": storage, "study_name": "s", **SHORT_SEARCH}
    manager = make_manager("bnddpg", config, optimize_hyperparameters=True, **arguments)
    assert manager.setup_experiment() is None
    with pytest.raises(ConfigurationError, match=r"the study 's' is of another search space or algorithm .*--study-name"):
        manager.hyperparameters_optimization()


def test_what_bnddpg_searches() -> None:
    keys = {key for sampled, _ in random_trials("bnddpg", 1) for key in sampled}
    assert keys >= {"learning_rate", "actor_learning_rate", "action_noise", "policy_kwargs", "tau", "gamma"}
    (sampled, _), *_ = random_trials("bnddpg", 1)
    assert set(sampled["policy_kwargs"]) >= {"batch_norm_momentum", "net_arch", "n_critics"}


@pytest.mark.filterwarnings("error")
def test_the_default_of_bnddpg_can_be_sampled() -> None:
    point = {
        "one_minus_gamma": 0.01, "batch_size_pow": 8, "learning_rate": 1e-3, "actor_learning_rate": 3e-4, "tau": 0.005,
        "actor_warmup": 0.05, "policy_delay": 3, "target_policy_noise": 0.2,
        "target_min_weight": 0.75, "batch_norm_momentum": 0.1, "n_critics": 2, "beta1": 0.5, "net_arch": "default",
        "noise_type": "ornstein-uhlenbeck", "noise_std": 0.3 * 0.3**0.5, "noise_theta": 0.15, "noise_schedule": "lin",
        "noise_hold": True,
    }  # fmt: skip
    # Optuna warns of a number outside its range
    sampled = HYPERPARAMS_SAMPLER["bnddpg"](optuna.trial.FixedTrial(point), 1, 1, dict(ADDITIONAL))
    default, model = (BNDDPG("MlpPolicy", "Pendulum-v1", seed=0, **kwargs) for kwargs in ({}, sampled))
    plain = sampled.keys() - {"action_noise", "policy_kwargs", "actor_learning_rate"}
    assert {key: getattr(model, key) for key in plain} == {key: pytest.approx(getattr(default, key)) for key in plain}
    assert str(model.policy) == str(default.policy)
    for progress_remaining in (1.0, 0.9, 0.8, 0.0):
        for made in (model, default):
            made.action_noise.update(progress_remaining)
        np.testing.assert_allclose(model.action_noise.std, default.action_noise.std)
    for optimizers in zip(*((made.actor.optimizer, made.critic.optimizer) for made in (model, default)), strict=True):
        ours, theirs = ({**optimizer.param_groups[0], "params": None} for optimizer in optimizers)
        assert {**ours, "betas": tuple(ours["betas"])} == {**theirs, "betas": tuple(theirs["betas"])}
    assert repr(model.action_noise) == repr(default.action_noise)


@pytest.mark.filterwarnings("error")
def test_copdacqs_entry_for_pendulum_can_be_sampled() -> None:
    entry = read_entry(str(shipped_hyperparameters("copdacq")), "Pendulum-v1", False, yaml.SafeLoader)
    theirs = make_noise(entry["action_noise"], 1)
    assert isinstance(theirs, OrnsteinUhlenbeckNoise)
    rates = dict.fromkeys(("advantage_learning_rate", "value_learning_rate"), entry["learning_rate"])
    point = {
        "one_minus_gamma": 1 - entry["gamma"], "actor_learning_rate": entry["actor_learning_rate"], **rates,
        "correction_learning_rate": 0.1, "gradient_q": False, "natural_gradient": False, "n_tilings_pow": 4, "n_bins": 6,
        "noise_type": "ornstein-uhlenbeck", "noise_std": theirs.sigma[0], "noise_theta": theirs.theta[0],
        "noise_schedule": "const",
    }  # fmt: skip
    sampled = HYPERPARAMS_SAMPLER["copdacq"](optuna.trial.FixedTrial(point), 1, 1, dict(ADDITIONAL))
    assert sampled["policy_kwargs"] == entry["policy_kwargs"]
    assert str(make_noise(sampled["action_noise"], 1)) == str(theirs)


def test_what_copdacq_searches() -> None:
    ((sampled, _),) = random_trials("copdacq", 1)
    assert set(sampled) >= {"actor_learning_rate", "advantage_learning_rate", "value_learning_rate", "gradient_q"}
    assert set(sampled["policy_kwargs"]["features_extractor_kwargs"]) == {"n_tilings", "n_bins"}


def test_a_noise_schedule_ends_at_a_sixth() -> None:
    sampled = next(
        sampled for sampled, stored in random_trials("bnddpg", 30)
        if stored["noise_type"] == "normal" and stored["noise_schedule"] == "exp"
    )  # fmt: skip
    noise = ALGOS["bnddpg"]("MlpPolicy", "Pendulum-v1", **sampled).action_noise
    start = noise.std[0]
    noise.update(0.0)
    np.testing.assert_allclose(noise.std[0], start / 6)


@pytest.fixture
def record_constructor(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[dict[str, Any]]]:
    """Replace an algorithm in rl-zoo3's table by one that writes down its arguments and then works."""

    def replace(algo: str) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        algorithm: type[BaseAlgorithm] = ALGOS[algo]

        class Recording(algorithm):  # type: ignore[misc, valid-type]
            @functools.wraps(algorithm.__init__)
            def __init__(self, policy: Any, env: Any, **kwargs: Any) -> None:
                calls.append({"policy": policy, **kwargs})
                super().__init__(policy, env, **kwargs)

        monkeypatch.setitem(ALGOS, algo, Recording)
        return calls

    return replace


def plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a constructor without what differs between a trial and a training; schedules by their values."""
    result = {key: value for key, value in arguments.items() if key not in {"seed", "verbose", "tensorboard_log", "device"}}
    return {key: value(0.5) if callable(value) and key.endswith("rate") else value for key, value in result.items()}


@pytest.mark.filterwarnings("ignore:.*is trained without action_noise")
@pytest.mark.parametrize("algo", ["bnddpg", "copdacq"])
def test_reloading_a_trial_trains_with_exactly_its_parameters(
    write_config: WriteConfig,
    make_manager: MakeManager,
    tmp_path: Path,
    record_constructor: Callable[[str], list[dict[str, Any]]],
    algo: str,
) -> None:
    config, storage = write_config(tiny_entry(algo, n_timesteps=30)), str(tmp_path / "study.log")
    study_arguments = {"storage": storage, "study_name": "s"}
    calls = record_constructor(algo)
    search = make_manager(
        algo, config, **study_arguments, optimize_hyperparameters=True, n_trials=3, n_evaluations=1, sampler="random",
        pruner="none", no_optim_plots=True, n_eval_episodes=1,
    )  # fmt: skip
    assert search.setup_experiment() is None
    # One trial without noise, beside a file that has some; trial 0, which rl-zoo3 takes for none given
    study = optuna.create_study(storage=search_storage(storage), study_name="s", direction="maximize")
    study.enqueue_trial({"noise_type": None})
    study.enqueue_trial({"noise_type": "normal", "noise_schedule": "lin"})
    search.hyperparameters_optimization()
    searched = [plain(call) for call in calls]
    assert len(searched) == 3
    assert searched[0]["action_noise"] is None
    for trial_id in range(3):
        calls.clear()
        assert make_manager(algo, config, **study_arguments, trial_id=trial_id).setup_experiment() is not None
        assert [plain(call) for call in calls] == [searched[trial_id]]


@pytest.mark.parametrize("algo", ["td3", "ddpg"])
def test_noise_that_is_sampled_is_not_replaced_by_the_entrys(
    write_config: WriteConfig, make_manager: MakeManager, algo: str
) -> None:
    noise = {"noise_type": "normal", "noise_std": "lin_0.9_0.8"}
    search = make_manager(algo, write_config(tiny_entry(algo, **noise)), optimize_hyperparameters=True, n_trials=1)
    assert search.setup_experiment() is None
    assert not {*noise, "action_noise", "callback"} & search.resolved.keys()
    assert not search.callbacks


def unbounded_pendulum() -> gym.Env:
    """Pendulum whose observations have no bounds that one could know."""
    env = gym.make("Pendulum-v1")
    return gym.wrappers.TransformObservation(env, lambda observation: observation, gym.spaces.Box(-np.inf, np.inf, (3,)))


UNBOUNDED = "UnboundedPendulum-v0"
BOUNDS = {"low": -8.0, "high": 8.0}
gym.register(UNBOUNDED, entry_point=unbounded_pendulum)
GOALS = "Goals-v0"
gym.register(GOALS, entry_point=BitFlippingEnv, kwargs={"n_bits": 3, "continuous": True})


@pytest.mark.filterwarnings("ignore:.*is trained without action_noise")
@pytest.mark.parametrize(
    ("env_id", "policy_kwargs", "tiles", "kept"),
    [
        (UNBOUNDED, {"features_extractor_kwargs": {**BOUNDS, "n_bins": 3}}, True, {"features_extractor_kwargs": BOUNDS}),
        (UNBOUNDED, "dict(features_extractor_kwargs=dict(low=-8.0, high=8.0))", True, {"features_extractor_kwargs": BOUNDS}),
        ("Pendulum-v1", {"features_extractor_class": "TileCoding"}, True, {"features_extractor_class": "TileCoding"}),
        ("Pendulum-v1", None, True, {}),
        (UNBOUNDED, {"features_extractor_class": "FlattenExtractor"}, False, {"features_extractor_class": "FlattenExtractor"}),
        (
            "LQR-v0",
            {"features_extractor_class": "PolynomialBasis", "features_extractor_kwargs": {"degree": 1}},
            False,
            {"features_extractor_class": "PolynomialBasis", "features_extractor_kwargs": {"degree": 1}},
        ),
    ],
)
def test_the_search_keeps_the_entrys_features(
    write_config: WriteConfig,
    make_manager: MakeManager,
    tmp_path: Path,
    record_constructor: Callable[[str], list[dict[str, Any]]],
    env_id: str,
    policy_kwargs: Any,
    tiles: bool,
    kept: dict[str, Any],
) -> None:
    config = write_config(tiny_entry("copdacq", n_timesteps=20, policy_kwargs=policy_kwargs), env_id=env_id)
    study = {"storage": str(tmp_path / "study.log"), "study_name": "s"}
    calls = record_constructor("copdacq")
    search = make_manager("copdacq", config, env_id=env_id, optimize_hyperparameters=True, **study, **SHORT_SEARCH)
    assert search.setup_experiment() is None
    search.hyperparameters_optimization()
    searched = dict(calls[0]["policy_kwargs"])
    features = dict(searched.get("features_extractor_kwargs", {}))
    sampled = {features.pop("n_tilings"), features.pop("n_bins")} if tiles else set()
    assert bool(sampled) == tiles == ("n_tilings_pow" in optuna_params(study["storage"]))
    assert searched.get("features_extractor_class") == kept.get("features_extractor_class")
    assert features == kept.get("features_extractor_kwargs", {})
    calls.clear()
    assert make_manager("copdacq", config, env_id=env_id, trial_id=0, **study).setup_experiment() is not None
    assert calls[0]["policy_kwargs"] == searched


def optuna_params(storage: str) -> dict[str, Any]:
    """What the first trial of a study sampled."""
    return optuna.load_study(storage=search_storage(storage), study_name="s").trials[0].params


def test_an_agent_that_the_search_cannot_make_is_told(write_config: WriteConfig, make_manager: MakeManager) -> None:
    config = write_config(tiny_entry("copdacq"), env_id=UNBOUNDED)
    search = make_manager("copdacq", config, env_id=UNBOUNDED, optimize_hyperparameters=True, **SHORT_SEARCH)
    assert search.setup_experiment() is None
    with pytest.raises(ConfigurationError, match=rf"{UNBOUNDED}: .*unbounded"):
        search.hyperparameters_optimization()


@pytest.mark.filterwarnings("ignore:.*is trained without action_noise")
def test_the_search_keeps_what_bnddpg_does_not_sample(
    write_config: WriteConfig, make_manager: MakeManager, record_constructor: Callable[[str], list[dict[str, Any]]]
) -> None:
    policy_kwargs = {"net_arch": [8], "batch_norm_eps": 0.01, "optimizer_kwargs": {"eps": 1e-6}}
    config = write_config(tiny_entry("bnddpg", n_timesteps=30, policy_kwargs=policy_kwargs))
    calls = record_constructor("bnddpg")
    search = make_manager("bnddpg", config, optimize_hyperparameters=True, **SHORT_SEARCH)
    assert search.setup_experiment() is None
    search.hyperparameters_optimization()
    searched = calls[0]["policy_kwargs"]
    assert searched["batch_norm_eps"] == 0.01
    assert searched["net_arch"] != [8]
    assert set(searched["optimizer_kwargs"]) == {"eps", "betas"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is trained without action_noise")
def test_the_search_keeps_what_it_does_not_sample_of_the_replay_buffer(
    write_config: WriteConfig,
    make_manager: MakeManager,
    tmp_path: Path,
    record_constructor: Callable[[str], list[dict[str, Any]]],
) -> None:
    entry = tiny_entry("bnddpg", n_timesteps=30, policy="MultiInputPolicy", replay_buffer_class="HerReplayBuffer")
    entry["replay_buffer_kwargs"] = "dict(copy_info_dict=True, n_sampled_goal=9)"
    config, study = write_config(entry, env_id=GOALS), {"storage": str(tmp_path / "study.log"), "study_name": "s"}
    calls = record_constructor("bnddpg")
    search = make_manager("bnddpg", config, env_id=GOALS, optimize_hyperparameters=True, **study, **SHORT_SEARCH)
    assert search.setup_experiment() is None
    search.hyperparameters_optimization()
    searched = calls[0]["replay_buffer_kwargs"]
    assert searched["copy_info_dict"] is True
    assert searched["n_sampled_goal"] <= 5
    calls.clear()
    assert make_manager("bnddpg", config, env_id=GOALS, trial_id=0, **study).setup_experiment() is not None
    assert calls[0]["replay_buffer_kwargs"] == searched


class SecondTrialPruner(optuna.pruners.BasePruner):
    """Stop the second trial at its first evaluation."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return trial.number == 1


@pytest.mark.filterwarnings("ignore:.*is trained without action_noise")
@pytest.mark.parametrize("algo", ["bnddpg", "copdacq"])
def test_a_trial_is_pruned(
    write_config: WriteConfig, make_manager: MakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    storage = str(tmp_path / "study.log")
    options = {**SHORT_SEARCH, "n_trials": 3, "n_evaluations": 2, "storage": storage, "study_name": "s"}
    manager = make_manager(algo, write_config(tiny_entry(algo, n_timesteps=40)), optimize_hyperparameters=True, **options)
    monkeypatch.setattr(manager, "_create_pruner", lambda method: SecondTrialPruner())
    assert manager.setup_experiment() is None
    manager.hyperparameters_optimization()
    trials = optuna.load_study(storage=search_storage(storage), study_name="s").trials
    complete, pruned = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED
    assert [trial.state for trial in trials] == [complete, pruned, complete]
    # It was stopped half way
    assert [list(trial.intermediate_values) for trial in trials] == [[1, 2], [1], [1, 2]]


@pytest.mark.parametrize("storage", [None, "study.log", "study.db"])
def test_a_search_without_a_completed_trial_does_not_blame_the_file(
    write_config: WriteConfig, make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, storage: str | None
) -> None:
    def prune(self: ZooExperimentManager, trial: optuna.Trial) -> float:
        raise optuna.TrialPruned

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ZooExperimentManager, "objective", prune)
    study = {"storage": storage, "study_name": "s"}
    search = make_manager("bnddpg", write_config(tiny_entry("bnddpg")), optimize_hyperparameters=True, **study, **SHORT_SEARCH)
    assert search.setup_experiment() is None
    with pytest.raises(ConfigurationError, match=r"^--optimize-hyperparameters: no trial was completed"):
        search.hyperparameters_optimization()


def search_storage(path: str) -> optuna.storages.JournalStorage:
    """A journal as Optuna itself opens it."""
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))


def test_a_trial_that_is_not_there(write_config: WriteConfig, make_manager: MakeManager, tmp_path: Path) -> None:
    storage = str(tmp_path / "study.log")
    optuna.create_study(storage=search_storage(storage), study_name="s")
    for study_name, trial_id in (("s", 7), ("other", 0)):
        manager = make_manager(
            "bnddpg", write_config(tiny_entry("bnddpg")), storage=storage, study_name=study_name, trial_id=trial_id
        )
        with pytest.raises(ConfigurationError, match=f"no trial {trial_id} in a study '{study_name}'"):
            manager.setup_experiment()


@pytest.mark.parametrize(
    ("algo", "params", "expected"),
    [
        ("bnddpg", {}, "trial 0 of the study 's' has no 'noise_type': it failed early, or is not of bnddpg"),
        ("copdacq", None, "trial 0 of the study 's' is not of copdacq, which has no .*batch_size_pow"),
    ],
)
def test_a_trial_that_cannot_be_used(
    write_config: WriteConfig,
    make_manager: MakeManager,
    tmp_path: Path,
    algo: str,
    params: dict[str, Any] | None,
    expected: str,
) -> None:
    storage = str(tmp_path / "study.log")
    trial = optuna.create_study(storage=search_storage(storage), study_name="s").ask()
    if params is None:
        HYPERPARAMS_SAMPLER["bnddpg"](trial, 1, 1, dict(ADDITIONAL))
    manager = make_manager(algo, write_config(tiny_entry(algo)), storage=storage, study_name="s", trial_id=0)
    with pytest.raises(ConfigurationError, match=expected):
        manager.setup_experiment()


@pytest.mark.parametrize("storage", ["no/study.log", "sqlite:///no/study.db", "no.database"])
def test_a_storage_that_is_not_there(
    write_config: WriteConfig, make_manager: MakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    monkeypatch.chdir(tmp_path)
    study = {"storage": storage, "study_name": "s"}
    config = write_config(tiny_entry("bnddpg"))
    with pytest.raises(ConfigurationError, match=f"--storage {storage}: "):
        make_manager("bnddpg", config, trial_id=0, **study).setup_experiment()
    with pytest.raises(ConfigurationError, match=r"--storage sqlite:///new\.db: there is no such file"):
        make_manager("bnddpg", config, trial_id=0, storage="new.db", study_name="s").setup_experiment()
    assert not Path("new.db").exists()
    if storage == "no.database":
        search = make_manager("bnddpg", config, optimize_hyperparameters=True, **study, **SHORT_SEARCH)
        assert search.setup_experiment() is None
        with pytest.raises(ConfigurationError, match=f"--storage {storage}: "):
            search.hyperparameters_optimization()


def test_an_algorithm_without_a_search_is_told(write_config: WriteConfig, make_manager: MakeManager) -> None:
    search = make_manager("crossq", write_config(tiny_entry("td3")), optimize_hyperparameters=True, **SHORT_SEARCH)
    assert search.setup_experiment() is None
    with pytest.raises(ConfigurationError, match="there is no search for crossq"):
        search.hyperparameters_optimization()


def test_a_trial_of_a_builtin_algorithm_without_noise_can_be_reloaded(
    write_config: WriteConfig, make_manager: MakeManager, tmp_path: Path
) -> None:
    storage = str(tmp_path / "study.log")
    study = optuna.create_study(storage=search_storage(storage), study_name="s")
    study.enqueue_trial({"noise_type": None})
    trial = study.ask()
    HYPERPARAMS_SAMPLER["td3"](trial, 1, 1, dict(ADDITIONAL))
    study.tell(trial, 0.0)
    manager = make_manager("td3", write_config(tiny_entry("td3")), storage=storage, study_name="s", trial_id=0)
    result = manager.setup_experiment()
    assert result is not None
    assert result[0].action_noise is None


@pytest.mark.parametrize("noise_std", [0.3, "lin_0.3_0.1"])
def test_a_trial_of_a_builtin_algorithm_without_noise_has_none(
    write_config: WriteConfig,
    make_manager: MakeManager,
    tmp_path: Path,
    record_constructor: Callable[[str], list[dict[str, Any]]],
    noise_std: Any,
) -> None:
    config = write_config(tiny_entry("td3", n_timesteps=30, noise_std=noise_std))
    storage = str(tmp_path / "study.log")
    optuna.create_study(storage=search_storage(storage), study_name="s", direction="maximize").enqueue_trial(
        {"noise_type": None}
    )
    calls = record_constructor("td3")
    study = {"storage": storage, "study_name": "s"}
    search = make_manager("td3", config, optimize_hyperparameters=True, **study, **SHORT_SEARCH)
    assert search.setup_experiment() is None
    search.hyperparameters_optimization()
    assert calls[0].get("action_noise") is None


@pytest.mark.parametrize("callback", [None, "sb3_dpg.diagnostics.ValueEstimateCallback"])
def test_trials_that_sample_no_noise_have_the_entrys(
    write_config: WriteConfig, make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, callback: str | None
) -> None:
    final: list[float] = []

    def on_training_end(self: ActionNoiseCallback) -> None:
        noise = self.model.action_noise
        assert isinstance(noise, GaussianNoise)
        final.append(float(noise.std[0]))

    monkeypatch.setattr(ActionNoiseCallback, "_on_training_end", on_training_end)
    monkeypatch.setitem(HYPERPARAMS_SAMPLER, "sac", lambda *args: {"batch_size": 8})
    config = write_config(tiny_entry("td3", n_timesteps=30, noise_std="lin_0.5_0.1", callback=callback))
    search = make_manager("sac", config, optimize_hyperparameters=True, **{**SHORT_SEARCH, "n_trials": 2})
    assert search.setup_experiment() is None
    search.hyperparameters_optimization()
    assert final == pytest.approx([0.1, 0.1], abs=0.05)
