"""The two ways in which a command can end badly, each with its exit code.

A message is one or two lines for a tired reader: what happened, where, what to do now.
"""


class PipelineError(Exception):
    """Base of every error that is shown to the user without a traceback."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        # A loader's worker process hands its exception on with a traceback for a message: keep what was said.
        self.message = message.rpartition(f"{type(self).__name__}: ")[2].strip()

    def __str__(self) -> str:
        # Not from `args`: fastai puts the name of the callback in front of those.
        return self.message


class WorkFailed(PipelineError):
    """The request was sound, but the work could not be done: disk, network, broken data."""

    exit_code = 1


class TimeIsUp(Exception):
    """No error: training was asked to end by now, and did so at an epoch's end. The text says where."""


class RequestError(PipelineError):
    """The command, the competition file or the data it names is wrong."""

    exit_code = 2
