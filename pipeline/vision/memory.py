"""Memory that is freed and asked for again in every step, kept by the process in between."""

import ctypes
import sys

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
