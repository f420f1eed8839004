"""What the machine gives this process."""

import os
from pathlib import Path

from pipeline.log import Log

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
