"""The error that the command line answers with one line instead of a traceback."""


class ConfigurationError(ValueError):
    """Something the user wrote (a file, an option, a name) that cannot be used; the message names it and what is allowed."""
