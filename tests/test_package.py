"""The package as built and installed."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sb3_dpg
from sb3_dpg.common.errors import EXTRAS
from sb3_dpg.zoo.hyperparameters import shipped_hyperparameters

CLONE = Path(__file__).parents[1]


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CLONE).stdout


def test_importing_the_package_does_not_import_rl_zoo3() -> None:
    assert python("import sb3_dpg, sys; print('rl_zoo3' in sys.modules, 'optuna' in sys.modules)") == "False False\n"


def test_public_names() -> None:
    assert {"BNDDPG", "COPDACQ", "__version__"} <= set(sb3_dpg.__all__)
    assert all(hasattr(sb3_dpg, name) for name in sb3_dpg.__all__)


def test_the_clone_has_the_hyperparameters_at_its_root() -> None:
    assert shipped_hyperparameters("bnddpg") == Path(sb3_dpg.__file__).parents[1] / "hyperparams" / "bnddpg.yml"
    assert shipped_hyperparameters("no-such-algorithm") is None


def test_the_wheel_carries_hyperparameters_types_and_the_command(installed: Path) -> None:
    (wheel,) = installed.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"sb3_dpg/hyperparams/{path.name}" for path in (CLONE / "hyperparams").glob("*.yml")} <= set(names)
    assert "sb3_dpg/py.typed" in names
    data = [*(CLONE / "sb3_dpg/benchmark/plans").glob("*.yml"), CLONE / "sb3_dpg/benchmark/reference_scores.yml"]
    assert {str(path.relative_to(CLONE)) for path in data} <= set(names)
    assert not [name for name in names if name.startswith("tests")]
    (metadata,) = (name for name in names if name.endswith("METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "License-Expression: MIT" in text
    for requirement in (
        "stable-baselines3<3,>=2.9.2",
        "sb3-contrib<3,>=2.9.2",
        "rl-zoo3<3,>=2.9.2",
        "gymnasium<2,>=1.0",
        "requests",
    ):
        assert f"Requires-Dist: {requirement}" in text.replace("rl_zoo3", "rl-zoo3")
    # The extras that an error message names
    assert all(f"Provides-Extra: {extra}\n" in text for extra in EXTRAS.values())
    assert (installed / "site" / "bin" / "sb3-dpg").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["bnddpg"])
def test_the_wheel_outside_the_clone_trains_by_its_own_hyperparameters(
    run, installed: Path, tmp_path: Path, algo: str
) -> None:
    train = run("train", "--algo", algo, "--env", "Pendulum-v1", "-n", "250", "--num-threads", "1", "--eval-freq", "-1")
    assert f"{installed}/site/sb3_dpg/hyperparams/{algo}.yml" in train.stdout
    assert (tmp_path / f"logs/{algo}/Pendulum-v1_1/Pendulum-v1.zip").is_file()
