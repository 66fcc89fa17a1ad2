"""
The mutation check: ``python -m tests.mutation.check [WORD]`` makes one wrong change after another in a copy of the package and
runs the tests that should notice, until the first failure. Prints which test caught which change, as a table in Markdown.

With a word, only changes are made whose name or file contains it. The exit status is 1 if a change was caught by no test.
"""

import argparse
import importlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
#: What the tests need of the repository
COPIED = ("sb3_dpg", "tests", "hyperparams", "pyproject.toml")
#: Imported once, for all runs of the tests
LIBRARIES = ("gymnasium", "hypothesis", "pandas", "sb3_contrib", "scipy.stats", "stable_baselines3", "torch.func")
_FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class Mutation(NamedTuple):
    """
    One wrong change.

    :param name: What is wrong then
    :param file: The source file, below the root of the repository
    :param old: Text that occurs in it once
    :param new: What takes its place
    :param tests: Test files that are run, in this order
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def mutated(source: str, mutation: Mutation) -> str:
    """
    :param source: Text of the source file
    :param mutation: The change
    :return: The changed text
    :raises ValueError: if the text to replace is not there, or more than once: the table is older than the source
    """
    found = source.count(mutation.old)
    if found != 1:
        raise ValueError(f"{mutation.name}: {mutation.file} holds {found} times, not once: {mutation.old!r}")
    return source.replace(mutation.old, mutation.new)


def first_failure(folder: Path, tests: Sequence[str]) -> str | None:
    """
    :param folder: A copy of the repository
    :param tests: Its test files to run
    :return: The first test that fails; None if all pass
    :raises RuntimeError: if pytest could not run the tests
    """
    output = folder / "output.txt"
    process = multiprocessing.get_context("fork").Process(target=_run_pytest, args=(folder, tests, output))
    process.start()
    process.join()
    if process.exitcode == 0:
        return None
    text = output.read_text()
    failure = _FIRST_FAILURE.search(text)
    if failure is None:
        raise RuntimeError(f"pytest {' '.join(tests)} ended with {process.exitcode} in {folder}:\n{text}")
    return failure[1]


def _run_pytest(folder: Path, tests: Sequence[str], output: Path) -> None:
    """
    What a forked process does. It has the libraries already, which take longer to import than most tests to run.

    :param folder: A copy of the repository
    :param tests: Its test files to run
    :param output: Where pytest's output goes
    """
    os.chdir(folder)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # They may be another pytest's
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    for name in [name for name in sys.modules if name.split(".")[0] in ("sb3_dpg", "tests")]:
        del sys.modules[name]
    # Before the repository itself and an editable installation, here and in processes that tests start
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    # Two versions of a file may have the same size and time
    sys.dont_write_bytecode = True
    options = ["-x", "-q", "-rfE", "-p", "no:cacheprovider", "-m", "not slow and not nightly"]
    sys.exit(int(pytest.main([*options, *tests])))


def copy_repository(root: Path, folder: Path) -> None:
    """
    :param root: The repository
    :param folder: Where to copy what its tests need
    """
    for name in COPIED:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy(source, folder / name)


def check(mutations: Iterable[Mutation], root: Path = ROOT) -> list[Mutation]:
    """
    Make the changes one by one, and print what catches each.

    :param mutations: The changes
    :param root: The repository, which stays as it is
    :return: The changes that no test catches
    :raises ValueError: if a change does not fit the source any more
    :raises RuntimeError: if a test fails without any change
    """
    mutations = list(mutations)
    survivors = []
    for library in LIBRARIES:
        importlib.import_module(library)
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folder = Path(name)
        copy_repository(root, folder)
        # All before the first, so that a table out of date is told at once
        changed = [mutated((folder / mutation.file).read_text(), mutation) for mutation in mutations]
        failure = first_failure(folder, sorted({test for mutation in mutations for test in mutation.tests}))
        if failure is not None:
            raise RuntimeError(f"{failure} fails without any change")
        print("| Change | in | Caught by |\n| --- | --- | --- |")
        for mutation, text in zip(mutations, changed, strict=True):
            path = folder / mutation.file
            original = path.read_text()
            path.write_text(text)
            failure = first_failure(folder, mutation.tests)
            path.write_text(original)
            print(f"| {mutation.name} | `{mutation.file}` | {f'`{failure}`' if failure else '**nothing**'} |", flush=True)
            if failure is None:
                survivors.append(mutation)
    return survivors


def main(arguments: Sequence[str] | None = None) -> int:
    """
    :param arguments: The command line, None for the process's
    :return: The exit status
    """
    from tests.mutation.table import MUTATIONS

    parser = argparse.ArgumentParser(prog="python -m tests.mutation.check", description="Do the tests notice wrong changes?")
    parser.add_argument("word", nargs="?", default="", help="only changes whose name or file contains this word")
    word = parser.parse_args(arguments).word
    chosen = [mutation for mutation in MUTATIONS if word in mutation.name or word in mutation.file]
    survivors = check(chosen)
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} changes were caught")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
