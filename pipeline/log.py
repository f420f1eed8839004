"""What the user sees while work goes on: bars on a terminal, plain lines in a log; all on standard error."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Log:
    """Says things on standard error, leaving standard output to results."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        self.say(f"warning: {text}")

    @contextmanager
    def bar(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Yield `progress(done, total)`. Off a terminal, long work gets a plain line every ten seconds."""
        if self.terminal:
            from rich.console import Console
            from rich.progress import Progress

            with Progress(console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task(label, total=None)
                yield lambda done, total: progress.update(task, completed=done, total=total)
            return
        last = time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > 10:
                last = time.monotonic()
                self.say(f"{label}: {done:,} of {total:,}")

        yield line
