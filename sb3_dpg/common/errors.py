"""The errors that the command line answers with one line instead of a traceback."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from gymnasium.error import DependencyNotInstalled

#: Environment variable: show tracebacks of errors that are otherwise told in one line
DEBUG_VARIABLE = "SB3_DPG_DEBUG"
#: Which extra brings a module
EXTRAS = {
    "Box2D": "box2d",
    "box2d": "box2d",
    "mujoco": "mujoco",
    "pygame": "classic-control",
    "rliable": "plots",
    "seaborn": "plots",
    "tensorboard": "tensorboard",
}
#: Modules that rl-zoo3 and Optuna import only where an option asks for them, and no extra brings
OTHERS = ("optunahub", "wandb")
#: What the values of a hyperparameter file can cause, the expressions among them too, which rl-zoo3 evaluates
READING_ERRORS = (AssertionError, AttributeError, LookupError, NameError, SyntaxError, TypeError, ValueError)


class ConfigurationError(ValueError):
    """Something the user wrote (a file, an option, a name) that cannot be used; the message names it and what is allowed."""


def missing_extra(error: ImportError) -> str | None:
    """
    :param error: An import that failed, or Gymnasium's report of one
    :return: What to install, None if it is not about an optional dependency
    """
    names = [error.name.split(".")[0]] if error.name else []
    names += re.findall(r"[\w]+", str(error))
    extra = next((EXTRAS[name] for name in names if name in EXTRAS), None)
    if extra is None:
        other = next((name for name in names if name in OTHERS), None)
        return None if other is None else f"this needs the package {other!r}: pip install {other} ({error})"
    return f'this needs the extra {extra!r}: pip install "sb3-dpg[{extra}]" ({error})'


def one_line(error: Exception) -> str | None:
    """What to tell the user of an error, None for one that is not of their making."""
    if isinstance(error, DependencyNotInstalled):
        error = ImportError(str(error))
    if isinstance(error, ImportError):
        return missing_extra(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) if isinstance(error, ConfigurationError) else None


def run_command(prog: str, command: Callable[[], int | None], code: int = 1) -> int:
    """The exit code of a command; what its user did wrong is told in one line, and ends in ``code``."""
    try:
        return int(command() or 0)
    except Exception as error:
        message = one_line(error)
        if message is None or os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"{prog}: error: {' '.join(message.split())}", file=sys.stderr)
        return code


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """
    :param name: What was written
    :param known: What is allowed
    :return: ", did you mean ...?" with the nearest name, or an empty text
    """
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""


def unknown_name(name: object, known: Iterable[str]) -> str:
    """
    :param name: What was written
    :param known: What is allowed
    :return: "... is unknown", with the nearest name and all that are allowed
    """
    known = list(known)
    return f"{name!r} is unknown{did_you_mean(str(name), known) or '.'} Known: {', '.join(known)}"


def usage_error(parser: argparse.ArgumentParser, message: str, prog: str = "", more_help: str = "") -> NoReturn:
    """
    End with one line in place of argparse's whole usage.

    :param parser: A parser
    :param message: What argparse says
    :param prog: Name of the command where the parser does not know it
    :param more_help: Help of options that another parser has taken already
    """
    # "invalid choice: 'x' (choose from 'y', 'z')", without the inner quotes since Python 3.12
    choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
    option = re.search(r"unrecognized arguments: (--?[\w-]+)", message)
    if choice:
        message = unknown_name(choice[1], re.findall(r"[\w.-]+", choice[2]))
    elif option:
        message = f"{option[1]} is unknown" + did_you_mean(
            option[1], re.findall(r"--?\w[\w-]*", more_help + parser.format_help())
        )
    prog = prog or parser.prog
    parser.exit(2, f"{prog}: error: {message} (see {prog} --help)\n")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        usage_error(self, message)
