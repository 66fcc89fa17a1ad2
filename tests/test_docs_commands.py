"""The commands of the pages exist, and know the options that the pages give them."""

import argparse
import importlib.util
import re
import runpy
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sb3_dpg import cli
from sb3_dpg.benchmark.plan import find_plan
from sb3_dpg.common.errors import ConfigurationError
from tests.pages import CLONE, PAGES, SPAN, blocks, prose

# What stands for something else in a command inside a sentence
PLACEHOLDERS = {"COMMAND", "PLAN"}
# Not ours
OTHERS = {"cd", "git", "source"}


class Parsed(BaseException):
    """Raised in place of what a command does, once its command line is parsed. No ``Exception``, as scripts handle these."""


# Other tests have imported modules that are run here as scripts
pytestmark = pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")


@pytest.fixture(autouse=True)
def parse_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parse_args = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> argparse.Namespace:
        options = parse_args(self, *args, **kwargs)
        if self.prog == "sb3-dpg":
            # That of the command's name; the command's own is still to come
            return options
        raise Parsed(options)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    # Nothing was trained that could be resumed, and the agents of other tests have replay buffers
    monkeypatch.setattr("sb3_dpg.zoo.training._find_trained_agent", lambda options, rest: "")
    monkeypatch.setattr("sb3_dpg.zoo.plots.check_evaluations", lambda names: None)
    monkeypatch.setattr("sb3_dpg.zoo.playback.find_agent", lambda arguments: (arguments, None))
    monkeypatch.setattr("sb3_dpg.zoo.playback.has_display", lambda: True)
    monkeypatch.chdir(tmp_path)


def parsed(command: Callable[[], object]) -> argparse.Namespace:
    """
    :param command: A script
    :return: What it made of its command line; usage errors exit, and fail the test
    """
    with pytest.raises(Parsed) as options:
        command()
    namespace = options.value.args[0]
    assert isinstance(namespace, argparse.Namespace)
    return namespace


def check_ours(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if not arguments:
        return
    assert arguments[0] in cli.COMMANDS
    # The bare name of a command, in a sentence, or a call for help
    if len(arguments) == 1 or "--help" in arguments:
        return
    monkeypatch.setattr("sys.argv", ["sb3-dpg", *arguments])
    options = parsed(lambda: cli.main(arguments))
    if arguments[0] == "benchmark" and arguments[1] != "report":
        assert find_plan(options.plan)


def check_module(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name, *rest = arguments
    if name == "sb3_dpg":
        return check_ours(rest, monkeypatch)
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    if not name.startswith(("sb3_dpg.", "scripts.")):
        return None
    if "argparse" in Path(spec.origin).read_text():
        monkeypatch.setattr("sys.argv", [name, *rest])
        parsed(lambda: runpy.run_module(name, run_name="__main__"))
    else:
        assert not [option for option in rest if option.startswith("-")]
    return None


def check_make(arguments: list[str]) -> None:
    done = subprocess.run(["make", "--dry-run", *arguments], cwd=CLONE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_pip(arguments: list[str]) -> None:
    section = (CLONE / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = re.findall(r"^([\w-]+) = ", section, re.MULTILINE)
    assert arguments[0] == "install"
    for requirement in arguments[1:]:
        named = re.fullmatch(r"(?:sb3-dpg|\.)\[([\w,-]+)\]", requirement)
        if named is not None:
            assert set(named[1].split(",")) <= set(extras)


def check_script(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    script = CLONE / arguments[0]
    assert script.is_file()
    monkeypatch.setattr("sys.argv", [str(script), *arguments[1:]])
    parsed(lambda: runpy.run_path(str(script), run_name="__main__"))


def check(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    :param command: A command line in words
    :raises AssertionError: if there is no such command, or it does not take these arguments
    """
    while re.fullmatch(r"[A-Z_0-9]+=.*", command[0]):
        command = command[1:]
    program, arguments = Path(command[0]).name, command[1:]
    if PLACEHOLDERS & set(arguments) or program in OTHERS:
        return
    if program == "sb3-dpg":
        check_ours(arguments, monkeypatch)
    elif program in ("python", "python3") and arguments[:1] == ["-m"]:
        check_module(arguments[1:], monkeypatch)
    elif program in ("python", "python3"):
        check_script(arguments, monkeypatch)
    elif program == "make":
        check_make(arguments)
    elif program == "pip":
        check_pip(arguments)
    else:
        unknown(command)


def unknown(command: list[str]) -> NoReturn:
    raise AssertionError(f"{command[0]!r} is no command that this test knows")


def commands(page: Path) -> list[list[str]]:
    """
    :param page: A page
    :return: The command lines in its bash blocks and in its sentences, in words
    """
    lines = [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    lines += [span for span in SPAN.findall(prose(page)) if re.match(r"(sb3-dpg|python -m|python examples|make) ", span)]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


ALL = sorted({shlex.join(command) for page in PAGES for command in commands(page)})


@pytest.mark.parametrize("command", ALL)
def test_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(shlex.split(command), monkeypatch)


def test_published_results_are_not_written_over() -> None:
    assert not [command for command in ALL if re.search(r"--results \S*docs/benchmark/(?!PLAN\b)", command)]


def test_commands_are_found() -> None:
    assert len(ALL) > 20


@pytest.mark.parametrize(
    "command",
    [
        "sb3-dpg trian --algo bnddpg",
        "sb3-dpg train --algo bnddpg --resumee",
        "sb3-dpg enjoy --algo bnddpg --envs Pendulum-v1",
        "sb3-dpg benchmark no-such-plan --dry-run",
        "python -m scripts.compare_untrained --algos bnddpg",
        "python -m sb3_dpg.no_such_module",
        "python examples/no_such_example.py",
        "make no-such-target",
        'pip install "sb3-dpg[no-such-extra]"',
        "no-such-program --help",
    ],
)
def test_wrong_commands_are_noticed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((AssertionError, SystemExit, ConfigurationError)):
        check(shlex.split(command), monkeypatch)
