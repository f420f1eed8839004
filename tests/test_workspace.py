"""Writes are whole or not at all, whatever the disk or a kill does; one process at a time."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from pipeline import machine
from pipeline.errors import WorkFailed
from pipeline.workspace import (
    Workspace,
    atomic,
    atomic_folder,
    csv_text,
    locked,
    read_json,
    restore_folder,
    swap_folder,
    write_json,
    write_text,
    write_with,
)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def start(code: str, *args: object) -> subprocess.Popen:
    """A Python process that prints a line when it is where the test wants it, and then waits."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert child.stdout.readline() == "ready\n"
    return child


# Atomic writes


def test_folders_are_made_and_text_is_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "new.txt"
    write_text(path, "erste Zeile: Ähre\n")
    write_text(path, "second\n")
    assert path.read_bytes() == b"second\n"
    assert files_in(path.parent) == ["new.txt"]


@pytest.mark.parametrize("crash", [ValueError, KeyboardInterrupt, OSError])
def test_a_crash_inside_leaves_the_old_content_and_no_temporary(tmp_path, crash):
    path = tmp_path / "kept.txt"
    write_text(path, "old")

    def write_half():
        with atomic(path) as temporary:
            temporary.write_text("half of the n")
            raise crash("halfway")

    with pytest.raises(crash, match="halfway"):
        write_half()
    assert path.read_text() == "old"
    assert files_in(tmp_path) == ["kept.txt"]


def test_a_crash_inside_makes_no_file_where_there_was_none(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "new.json", {"x": object()})
    with pytest.raises(ZeroDivisionError):
        write_with(tmp_path / "new.bin", lambda file: file.write_bytes(b"x" * (1 // 0)))
    assert files_in(tmp_path) == []


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "seen.txt"
    write_text(path, "old")
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent  # a rename within one file system
    assert path.read_text() == "new"


def test_content_is_synced_before_the_rename_and_the_folder_after(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle):
        order.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("rename"), replace(*names)))
    write_text(tmp_path / "x", "text")
    assert order == ["file", "rename", "folder"]


def test_killed_between_write_and_rename_leaves_the_old_content(tmp_path):
    path = tmp_path / "kept.json"
    write_json(path, {"value": "old"})
    child = start(
        """
        import sys, time
        from pathlib import Path
        from pipeline.workspace import atomic
        with atomic(Path(sys.argv[1])) as temporary:
            temporary.write_text('{"value": "new"}')
            print("ready", flush=True)
            time.sleep(60)
        """,
        path,
    )
    child.send_signal(signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    assert read_json(path) == {"value": "old"}
    write_json(path, {"value": "newer"})  # the next run clears up what the killed one left
    assert read_json(path) == {"value": "newer"}
    assert files_in(tmp_path) == ["kept.json"]


def test_json_keeps_letters_and_order(tmp_path):
    write_json(tmp_path / "x.json", {"b": "ü", "a": [1, None]})
    assert list(read_json(tmp_path / "x.json").items()) == [("b", "ü"), ("a", [1, None])]
    assert "ü" in (tmp_path / "x.json").read_text(encoding="utf-8")


def test_csv_has_the_keys_of_its_rows_and_quotes_what_needs_it():
    assert csv_text([{"b": 1, "a": "x, y"}, {"a": "Ä", "b": None}]) == 'b,a\n1,"x, y"\n,Ä\n'


@pytest.mark.parametrize("content", [b"", b'{"half": ', b"\xff\xfe"])
def test_torn_json_counts_as_none(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    assert read_json(tmp_path / "x.json") is None
    assert read_json(tmp_path / "absent.json") is None
    assert read_json(tmp_path / "x.json" / "below") is None


# Folders, replaced whole


def fill(folder: Path, text: str) -> Path:
    write_text(folder / "a" / "x.txt", text)
    write_text(folder / "stamp.json", text)
    return folder


def content(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("a/x.txt", "stamp.json")]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, there):
    folder = tmp_path / "deep" / "kept"
    if there:
        fill(folder, "old")
    with atomic_folder(folder) as making:
        assert making.parent == folder.parent  # a rename within one file system
        assert not making.exists()
        fill(making, "new")
        assert folder.exists() == there
    assert content(folder) == ["new", "new"]
    assert files_in(folder.parent) == ["kept"]


@pytest.mark.parametrize("crash", [ValueError, KeyboardInterrupt, OSError])
def test_a_crash_while_a_folder_is_filled_leaves_the_old_one(tmp_path, crash):
    folder = fill(tmp_path / "kept", "old")

    def fill_half():
        with atomic_folder(folder) as making:
            making.mkdir()
            raise crash("halfway")

    with pytest.raises(crash, match="halfway"):
        fill_half()
    assert content(folder) == ["old", "old"]
    assert files_in(tmp_path) == ["kept"]


@pytest.mark.parametrize("which", [1, 2])
def test_a_rename_that_fails_leaves_the_old_folder(tmp_path, monkeypatch, which):
    folder, new, calls, rename = fill(tmp_path / "kept", "old"), fill(tmp_path / "new", "new"), [], os.rename

    def fail_once(*names):
        calls.append(names)
        if len(calls) == which:
            raise OSError(errno.EIO, "Input/output error")
        rename(*names)

    monkeypatch.setattr(os, "rename", fail_once)
    with pytest.raises(OSError, match="Input/output"):
        swap_folder(new, folder)
    assert content(folder) == ["old", "old"]
    assert files_in(tmp_path) == ["kept", "new"]


KILLED_SWAP = """
    import os, shutil, sys
    from pathlib import Path
    from pipeline import workspace
    folder, call, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    module = shutil if call == "rmtree" else os
    real, calls = getattr(module, call), []
    def die(*args, **options):
        calls.append(args)
        if len(calls) == number:
            os._exit(9)
        return real(*args, **options)
    with workspace.atomic_folder(folder) as making:
        for name in ("a/x.txt", "stamp.json"):
            workspace.write_text(making / name, "new")
        setattr(module, call, die)
    os._exit(0)
"""


@pytest.mark.parametrize(
    ("call", "number", "found"),
    [
        ("rename", 1, "old"),
        ("rename", 2, "old"),
        ("fsync", 1, "new"),
        ("rmtree", 1, "old"),  # of what an earlier kill may have left
        ("rmtree", 2, "new"),
    ],
)
@pytest.mark.parametrize("after", ["lock", "next", "fold"])
def test_a_kill_at_any_step_of_a_swap_leaves_a_whole_folder_to_the_next_command(tmp_path, call, number, found, after):
    space = Workspace(tmp_path, "comp")
    folder = fill(space.fold("m", 3) if after == "fold" else space.raw, "old")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_SWAP), str(folder), call, str(number)],
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert done.returncode == 9
    if after == "next":
        with pytest.raises(ZeroDivisionError), atomic_folder(folder):
            raise ZeroDivisionError
        assert files_in(folder.parent) == [folder.name]
    else:
        with locked(space):
            pass
        assert not folder.with_name(f".{folder.name}.old").exists()
    assert content(folder) == [found, found]
    with atomic_folder(folder) as making:
        fill(making, "newest")
    assert content(folder) == ["newest", "newest"]
    assert files_in(folder.parent) == [folder.name]


def test_what_was_put_aside_never_replaces_what_is_there(tmp_path):
    folder = fill(tmp_path / "kept", "new")
    fill(tmp_path / ".kept.old", "old")
    restore_folder(folder)
    assert content(folder) == ["new", "new"]
    assert files_in(tmp_path) == ["kept"]


def test_a_folder_that_is_a_link_is_replaced_and_its_target_kept(tmp_path):
    fill(tmp_path / "elsewhere", "far")
    (tmp_path / "kept").symlink_to("elsewhere")
    with atomic_folder(tmp_path / "kept") as making:
        fill(making, "new")
    assert content(tmp_path / "kept") == ["new", "new"]
    assert content(tmp_path / "elsewhere") == ["far", "far"]
    assert files_in(tmp_path) == ["elsewhere", "kept"]


# What a disk can do


DISK = [
    (errno.ENOSPC, "no room left"),
    (errno.EDQUOT, "no room left"),
    (errno.EACCES, "no permission"),
    (errno.EPERM, "no permission"),
    (errno.EROFS, "no permission"),
]


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize(("number", "words"), DISK)
def test_disk_errors_become_work_failed_naming_the_path(tmp_path, monkeypatch, call, number, words):
    path = tmp_path / "kept.txt"
    write_text(path, "old")

    def fail(*args, **options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        if call == "open":
            patched.setattr(Path, "write_text", fail)
        else:
            patched.setattr(os, call, fail)
        with pytest.raises(WorkFailed, match=words) as caught:
            write_text(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert files_in(tmp_path) == ["kept.txt"]


def test_other_errors_keep_their_type(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_with(tmp_path / "x", lambda file: None)  # wrote nothing


def test_a_full_disk_told_in_another_librarys_words(tmp_path):
    class ArrowLikeError(Exception):
        pass

    def write(file):
        file.write_bytes(b"half")
        raise ArrowLikeError("IOError: [Errno 28] error writing bytes: No space left on device")

    with pytest.raises(WorkFailed, match="no room left"):
        write_with(tmp_path / "x.parquet", write)
    assert files_in(tmp_path) == []


@contextmanager
def small_disk(folder: Path):
    """A file system of 64 KiB; skips where it cannot be mounted."""
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small disk takes root")
    command = [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_really_full_disk(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        write_text(disk / "kept.txt", "old")
        with pytest.raises(WorkFailed, match="no room left"):
            write_text(disk / "kept.txt", "x" * 200_000)
        frame = pd.DataFrame({"x": [os.urandom(1000).hex() for _ in range(200)]})
        with pytest.raises(WorkFailed, match="no room left"):
            write_with(disk / "t.parquet", lambda file: frame.to_parquet(file, index=False))
        assert files_in(disk) == ["kept.txt"]
        assert (disk / "kept.txt").read_text() == "old"
        (disk / "fill").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
        with pytest.raises(WorkFailed, match="no room left"), locked(Workspace(disk, "comp")):
            pytest.fail("a lock that could not be written")


def test_a_folder_without_write_permission(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(WorkFailed, match="no permission"):
        write_text(tmp_path / "x.txt", "text")
    with pytest.raises(WorkFailed, match="no permission"), locked(Workspace(tmp_path, "comp")):
        pytest.fail("a lock that could not be written")


# The lock


HOLD = """
    import sys, time
    from pathlib import Path
    from pipeline.workspace import Workspace, locked
    with locked(Workspace(Path(sys.argv[1]), "comp")):
        print("ready", flush=True)
        time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    (tmp_path / "runs" / "comp").mkdir(parents=True)
    (tmp_path / "runs" / "comp" / ".lock").write_text("pid 123456789012345\n")  # of one long gone
    holder = start(HOLD, tmp_path)
    try:
        with pytest.raises(WorkFailed) as caught, locked(Workspace(tmp_path, "comp")):
            pytest.fail("two processes in one competition")
        message = str(caught.value)
        assert f"pid {holder.pid}" in message
        assert "'comp'" in message
        assert str(tmp_path) in message
        with locked(Workspace(tmp_path, "other")):  # other competitions are free
            pass
    finally:
        holder.kill()
        holder.wait(10)
    with locked(Workspace(tmp_path, "comp")):  # a SIGKILL frees the lock
        owner = (tmp_path / "runs" / "comp" / ".lock").read_text()
    assert owner == f"pid {os.getpid()}\n"


def test_the_lock_is_freed_by_an_error(tmp_path):
    def fail_inside():
        with locked(Workspace(tmp_path, "comp")):
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    holder = start(HOLD, tmp_path)  # another process gets it now
    holder.kill()
    holder.wait(10)


def test_a_file_system_without_locks_is_not_taken_for_another_process(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(machine.fcntl, "lockf", fail)
    with pytest.raises(OSError, match="No locks available"), locked(Workspace(tmp_path, "comp")):
        pytest.fail("a lock without a lock")


# Where things live


def test_artifacts_live_where_the_design_says(tmp_path):
    space = Workspace(tmp_path, "comp")
    places = {
        "data/comp": space.raw,
        "data/comp/.pipeline/manifest.parquet": space.manifest,
        "data/comp/.pipeline/folds.csv": space.folds,
        "data/comp/.pipeline/audit.json": space.audit,
        "runs/comp/m": space.model("m"),
        "runs/comp/m/fold-2": space.fold("m", 2),
        "runs/comp/m/config.toml": space.config("m"),
        "runs/comp/m/fold-2/weights.safetensors": space.weights("m", 2),
        "runs/comp/m/fold-2/history.csv": space.history("m", 2),
        "runs/comp/m/fold-2/trained.json": space.trained("m", 2),
        "runs/comp/m/fold-2/predicted.json": space.predicted("m", 2),
        "runs/comp/m/fold-2/checkpoint/epoch.safetensors": space.checkpoint("m", 2),
        "runs/comp/m/predicted.json": space.predicted("m"),
        "runs/comp/m/oof.parquet": space.oof("m"),
        "runs/comp/m/test.parquet": space.test("m"),
        "runs/comp/m/metrics.json": space.metrics("m"),
        "data/comp/.pipeline/fetched.json": space.fetched,
        "data/comp/.pipeline/check.json": space.stamp("check"),
        "runs/comp/ensemble": space.ensemble,
        "runs/comp/ensemble/weights.json": space.blend_weights,
        "runs/comp/ensemble/blended.json": space.blended,
        "runs/comp/explain/explain.json": space.explanation,
        "runs/comp/kernel/bundle": space.bundle,
        "runs/comp/kernel/dataset.json": space.dataset,
        "runs/comp/kernel/train.json": space.pushed("train"),
        "runs/comp/kernel/output-slug-v3": space.output("slug", 3),
        "runs/comp/kernel/rehearsal/next": space.rehearsal("next"),
        "runs/comp/submission.json": space.latest_submission,
        "runs/comp/submitted-m.json": space.submitted("m"),
        "submissions/comp/kernel-slug-v3.csv": space.kernel_submission("slug", 3),
        "submissions/comp": space.submissions,
    }
    assert {str(path.relative_to(tmp_path)) for path in places.values()} == set(places)
    assert all(str(path) == str(tmp_path / name) for name, path in places.items())


def test_paths_are_shown_as_the_user_would_type_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = Workspace(tmp_path, "comp")
    assert space.show(space.folds) == "data/comp/.pipeline/folds.csv"
    assert space.show(Path("/elsewhere/x")) == "/elsewhere/x"
