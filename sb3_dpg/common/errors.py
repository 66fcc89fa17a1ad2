"""The errors that the command line answers with one line instead of a traceback."""

import difflib
import re
from collections.abc import Iterable

#: Environment variable: show tracebacks of errors that are otherwise told in one line
DEBUG_VARIABLE = "SB3_DPG_DEBUG"
#: Which extra brings a module
EXTRAS = {
    "Box2D": "box2d",
    "box2d": "box2d",
    "mujoco": "mujoco",
    "pygame": "classic-control",
    "ray": "ray",
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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """
    :param name: What was written
    :param known: What is allowed
    :return: ", did you mean ...?" with the nearest name, or an empty text
    """
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""
