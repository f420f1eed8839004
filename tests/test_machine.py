"""What is asked of the system: on Linux as it is, on macOS without Linux' own calls, on Windows one clear line."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import machine
from pipeline.errors import RequestError
from pipeline.machine import is_in_memory, lock_or_fail, lock_or_wait, read_into, reserve

LINUX_ALONE = ("posix_fallocate", "preadv", "RWF_NOWAIT", "sched_getaffinity")


@pytest.fixture(params=["linux", "macos"])
def system(request, monkeypatch):
    """This system, and one without the calls that only Linux is sure to have."""
    if request.param == "macos":
        for name in LINUX_ALONE:
            monkeypatch.delattr(os, name, raising=False)
    return request.param


@pytest.fixture
def handle(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    opened = os.open(path, os.O_RDWR)
    yield opened
    os.close(opened)


def test_a_read_fills_what_is_given(system, handle):
    wanted = np.zeros(30, np.uint8)
    assert read_into(handle, memoryview(wanted[10:]), 70) == 20
    assert wanted.tolist() == [0] * 10 + list(range(70, 90))
    assert read_into(handle, memoryview(wanted), 90) == 10, "the end of the file"
    assert read_into(handle, memoryview(wanted), 100) == 0


def test_what_was_just_written_is_in_memory(system, handle):
    assert is_in_memory(handle, 50)


def test_there_is_a_core_at_least(system):
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


def test_room_is_reserved_or_at_least_there(system, handle):
    reserve(handle, 300_000)
    assert os.fstat(handle).st_size == (300_000 if system == "linux" else 100)
    assert os.pread(handle, 100, 0) == bytes(range(100))


def test_more_than_the_disk_has_is_refused_at_once(system, handle):
    with pytest.raises(OSError) as caught:
        reserve(handle, 1 << 60)
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_cannot_reserve_is_asked_what_is_free(handle, monkeypatch, number):
    def fail(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    reserve(handle, 300_000)
    with pytest.raises(OSError, match="No space left"):
        reserve(handle, 1 << 60)


def test_what_a_file_holds_already_needs_no_room(handle, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    os.pwrite(handle, bytes(1 << 20), 0)
    os.fsync(handle)
    full = os.fstatvfs(handle)
    monkeypatch.setattr(os, "fstatvfs", lambda _: type("Full", (), {"f_bavail": 0, "f_frsize": full.f_frsize}))
    reserve(handle, 1 << 20)
    with pytest.raises(OSError, match="No space left"):
        reserve(handle, 1 << 21)


def test_windows_gets_one_line_before_anything_else(tmp_path):
    code = """
        import sys
        import typer  # the standard library is to think that it is where it is
        sys.modules["fcntl"] = None  # importing it fails, as on Windows
        sys.platform = "win32"
        import pipeline
        from pipeline.cli import main
        sys.argv = ["pipeline", *sys.argv[1:]]
        main()
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for words in (["run", "demo"], ["status"], ["--help"], ["kernel", "push"], []):
        command = [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines()), *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert done.stderr == ("error: pipeline runs on Linux and macOS (it needs POSIX locks); on Windows use WSL\n")
        assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_no_lock_is_taken_on_windows(handle, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(RequestError, match="on Windows use WSL"):
        lock_or_fail(handle)
    with os.fdopen(os.dup(handle), "rb") as file, pytest.raises(RequestError, match="on Windows use WSL"):
        lock_or_wait(file)


def test_only_this_module_knows_the_systems_own_calls():
    """Elsewhere one of these would work on Linux alone, and nobody would see it there."""
    package = Path(machine.__file__).parent
    own = ("fcntl", *LINUX_ALONE)
    found = [
        f"{path.relative_to(package)}: {name}"
        for path in package.rglob("*.py")
        for name in own
        if path.name != "machine.py" and name in path.read_text()
    ]
    assert found == []
