"""The mutation check itself, on a repository of one line."""

from pathlib import Path

import pytest

from tests.mutation.check import ROOT, Mutation, check, mutated
from tests.mutation.table import MUTATIONS

TESTS = ("tests/test_sum.py",)
CAUGHT = Mutation("difference", "sb3_dpg/sums.py", "a + b", "a - b", TESTS)
SURVIVES = Mutation("commuted", "sb3_dpg/sums.py", "a + b", "b + a", TESTS)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    files = {
        "sb3_dpg/__init__.py": "",
        "sb3_dpg/sums.py": "def add(a, b):\n    return a + b\n",
        "tests/test_sum.py": "from sb3_dpg.sums import add\n\n\ndef test_sum():\n    assert add(2, 3) == 5\n",
        "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['slow', 'nightly']\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_survivors_are_told(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (repository / "sb3_dpg/sums.py").read_text()
    assert check([CAUGHT, SURVIVES], repository) == [SURVIVES]
    table = capfd.readouterr().out.splitlines()
    assert table[-2] == "| difference | `sb3_dpg/sums.py` | `tests/test_sum.py::test_sum` |"
    assert table[-1] == "| commuted | `sb3_dpg/sums.py` | **nothing** |"
    assert (repository / "sb3_dpg/sums.py").read_text() == before


@pytest.mark.parametrize("old", ["a * b", "a"])
def test_a_table_older_than_the_source_is_told(repository: Path, old: str) -> None:
    mutation = CAUGHT._replace(old=old)
    with pytest.raises(ValueError, match=r"difference: sb3_dpg/sums\.py holds \d times, not once"):
        check([mutation], repository)
    assert mutated("b b", mutation._replace(old="b b", new="c")) == "c"


def test_tests_that_fail_without_any_change_are_told(repository: Path) -> None:
    (repository / "tests/test_sum.py").write_text("def test_nothing():\n    assert False\n")
    with pytest.raises(RuntimeError, match=r"test_sum\.py::test_nothing fails without any change"):
        check([CAUGHT], repository)


def test_tests_that_cannot_run_are_told(repository: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with"):
        check([CAUGHT._replace(tests=("tests/nothing.py",))], repository)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_table_fits_the_source(mutation: Mutation) -> None:
    source = (ROOT / mutation.file).read_text()
    assert mutated(source, mutation) != source
    assert all((ROOT / name).is_file() for name in mutation.tests)
