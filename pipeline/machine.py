"""What the machine gives this process, and the few calls that Linux has and macOS lacks, or that Windows lacks."""

import errno
import os
import sys
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import RequestError
from pipeline.log import Log

if sys.platform != "win32":
    import fcntl

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def prepare_process() -> None:
    """Set what torch and cuBLAS read when they load, unless the user has set it; later it has no effect.

    Torch's threads spin while they wait and starve beside another busy process; a short spin costs nothing alone.
    cuBLAS repeats its sums to the bit only with a workspace of its own.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device_in_words(log: Log) -> str:
    """What torch trains on; warns of a GPU that it cannot use."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        return "Apple's GPU"
    if NVIDIA_DRIVER.exists():
        log.warn(
            f"this machine has an NVIDIA driver that torch {torch.__version__} (CUDA {torch.version.cuda}) cannot use: "
            "the CPU trains; a newer driver, or another build of torch, would use the GPU"
        )
    return f"{cores()} CPU core(s)"


def refuse_windows() -> None:
    """Raise RequestError where there are no POSIX locks, without which two processes would write over each other."""
    if sys.platform == "win32":
        raise RequestError("pipeline runs on Linux and macOS (it needs POSIX locks); on Windows use WSL")


def lock_or_fail(handle: int) -> None:
    """Lock an open file for this process. Raises OSError (EACCES or EAGAIN) where another one has it."""
    refuse_windows()
    fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_or_wait(file: BinaryIO) -> None:
    """Lock an open file, once whoever has it lets go of it; closing it frees it."""
    refuse_windows()
    fcntl.flock(file, fcntl.LOCK_EX)


NO_FALLOCATE = (errno.EOPNOTSUPP, errno.EINVAL)


def reserve(handle: int, size: int) -> None:
    """Take the room for an open file of `size` bytes, so that a full disk is met at the start.

    macOS, and some file systems, can only be asked for what is free now. Raises OSError (ENOSPC).
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle, 0, max(1, size))
            return
        except OSError as error:
            if error.errno not in NO_FALLOCATE:
                raise
    held, disk = os.fstat(handle).st_blocks * 512, os.fstatvfs(handle)
    if size - held > disk.f_bavail * disk.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_into(handle: int, buffer: memoryview, offset: int) -> int:
    """Read at `offset` into `buffer`, without a copy in between but on an old macOS; returns how many bytes came."""
    if hasattr(os, "preadv"):
        return os.preadv(handle, [buffer], offset)
    data = os.pread(handle, len(buffer), offset)
    buffer[: len(data)] = data
    return len(data)


def is_in_memory(handle: int, offset: int) -> bool:
    """Whether reading a byte of a file would not wait for the disk; true where the system cannot tell, as macOS."""
    if not (hasattr(os, "preadv") and hasattr(os, "RWF_NOWAIT")):
        return True
    try:
        return os.preadv(handle, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system that cannot tell
