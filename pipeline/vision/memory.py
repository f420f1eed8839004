"""Memory: kept for the next step instead of mapped anew, pinned on its way to a GPU, given back after a fold."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
BIG = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Let glibc's malloc keep big blocks, process-wide; returns whether it could (Linux with glibc).

    A step's activations would otherwise be mapped anew each time, and the first touch of a page costs far more
    than using it: a fifth of a step of a small network on a virtual machine.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(M_MMAP_THRESHOLD, 1 << 30) and libc.mallopt(M_TRIM_THRESHOLD, BIG))
    except (OSError, AttributeError):
        return False  # another C library: slower, not wrong


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on `device`; a GPU gets it in its turn, without the CPU waiting until it has.

    It travels from pinned memory, which torch does not use again before it has arrived.
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@contextmanager
def given_back() -> Iterator[None]:
    """Free a GPU of what was made inside: a Learner and its callbacks hold each other until Python looks for it."""
    try:
        yield
    finally:
        if torch.cuda.is_initialized():
            gc.collect()
