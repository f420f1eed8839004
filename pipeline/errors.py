"""The two ways in which a command can end badly, each with its exit code.

A message is one or two lines for a tired reader: what happened, where, what to do now.
"""


class PipelineError(Exception):
    """Base of every error that is shown to the user without a traceback."""

    exit_code = 1


class WorkFailed(PipelineError):
    """The request was sound, but the work could not be done: disk, network, broken data."""

    exit_code = 1


class RequestError(PipelineError):
    """The command, the competition file or the data it names is wrong."""

    exit_code = 2
