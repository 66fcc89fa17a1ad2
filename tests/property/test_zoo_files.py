"""Shipped hyperparameter files, changed at random: ``sb3-dpg train`` takes them, or says in one line what is wrong where."""

import contextlib
import copy
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sb3_dpg.cli import main
from sb3_dpg.zoo.hyperparameters import ZOO_KEYS, load_yaml, shipped_hyperparameters

ENV = "Pendulum-v1"
# No large numbers: they are buffers and networks that fill the memory, not mistakes that can be told from others
WORDS = st.sampled_from(
    ["", "lin_0.1_0.01", "lin_0.1", "exp_0_x", "MlpPolicy", "torch.nn.Nothing", "no.such.module", "x", "1"]
)
SCALARS = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-2.0, 3.0) | st.sampled_from([float("nan"), float("inf")])
VALUES = st.recursive(
    SCALARS | WORDS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2), max_leaves=3
)
KEYS = st.sampled_from(sorted(ZOO_KEYS - {"env_wrapper", "callback", "vec_env_wrapper"})) | st.sampled_from(
    ["gamma", "tau", "batch_size", "gradient_steps", "train_freq", "noise_type", "noise_std", "net_arch", "action_noise"]
)
SHIPPED = {algo: load_yaml(str(shipped_hyperparameters(algo))) for algo in ("bnddpg", "copdacq")}


def tables(entry: Any) -> list[dict[Any, Any]]:
    """All tables of an entry, itself first."""
    if not isinstance(entry, dict):
        return []
    return [entry, *(table for value in entry.values() for table in tables(value))]


@st.composite
def mutated(draw: st.DrawFn, algo: str) -> Any:
    """A shipped entry with one or two changes: keys misspelt, left out, added or moved, values of all types."""
    entry = copy.deepcopy(SHIPPED[algo][draw(st.sampled_from(sorted(SHIPPED[algo])))])
    # Defaults would take their memory for each example
    entry["buffer_size"] = min(entry.get("buffer_size", 1 if algo == "copdacq" else 100), 100)
    for _ in range(draw(st.integers(1, 2))):
        table = draw(st.sampled_from(tables(entry)))
        change = draw(st.sampled_from(["value", "value", "misspell", "remove", "add"]))
        if change == "add" or not table:
            table[draw(KEYS)] = draw(VALUES)
            continue
        key = draw(st.sampled_from(sorted(table)))
        if change == "value":
            table[key] = draw(VALUES)
        else:
            value = table.pop(key)
            if change == "misspell":
                table[key[:-1]] = value
    return entry


@contextlib.contextmanager
def without_training() -> Iterator[None]:
    """All of ``train`` but the training: its reading, its environments, its agent."""
    zoo = "sb3_dpg.zoo.manager.ExperimentManager"
    with mock.patch(f"{zoo}.learn"), mock.patch(f"{zoo}.save_trained_model"), mock.patch("sys.argv", ["sb3-dpg"]):
        yield


def train(algo: str, text: str) -> tuple[int, str, str]:
    """Run ``train`` with a file of that text: exit code, what was written to stderr, name of the file."""
    errors = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, without_training():
        path = Path(folder) / "config.yml"
        path.write_text(text)
        arguments = [
            "train",
            "--algo",
            algo,
            "--env",
            ENV,
            "-conf",
            str(path),
            "-f",
            folder,
            "--eval-freq",
            "-1",
            "--seed",
            "1",
        ]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            code = main([*arguments, "--device", "cpu", "--verbose", "0"])
    return code, errors.getvalue(), str(path)


def assert_clear(algo: str, text: str) -> tuple[int, str]:
    """An error other than the command's own one line would be raised out of ``main`` here."""
    code, errors, path = train(algo, text)
    lines = [line for line in errors.splitlines() if line.startswith("sb3-dpg train: error:")]
    assert len(lines) == (code != 0), errors
    assert "Traceback" not in errors
    if code != 0:
        assert path in lines[0]
    return code, errors


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("algo", SHIPPED)
@given(data=st.data())
def test_entries(algo: str, data: st.DataObject) -> None:
    entry = data.draw(mutated(algo))
    code, errors = assert_clear(algo, yaml.safe_dump({ENV: entry}))
    if code != 0:
        # The specification of action_noise calls itself noise
        keys = {str(key).removeprefix("action_") for table in tables(entry) for key in table}
        assert any(key in errors for key in keys) or "is missing" in errors, errors


@pytest.mark.filterwarnings("ignore")
@given(data=st.data())
def test_files_cut_and_scrambled(data: st.DataObject) -> None:
    text = yaml.safe_dump({ENV: SHIPPED["copdacq"]["default"]})
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    inserted = data.draw(st.text(st.characters(codec="utf-8"), max_size=5))
    assert_clear("copdacq", text[:start] + inserted + text[end:])
