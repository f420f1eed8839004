"""Randomness that is named by anything printable: the same parts give the same numbers."""

import zlib

import torch


def generator(*parts: object) -> torch.Generator:
    """A generator of that name."""
    return torch.Generator().manual_seed(seed_of(*parts))


def seed_of(*parts: object) -> int:
    """A number of 32 bits of that name."""
    return zlib.crc32(repr(parts).encode())
