"""What the machine gives this process."""

import os
from pathlib import Path

from pipeline.log import Log

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


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
