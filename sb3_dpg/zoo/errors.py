"""The errors that the command line answers with one line instead of a traceback."""

import re

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
        return None
    return f'this needs the extra {extra!r}: pip install "sb3-dpg[{extra}]" ({error})'
