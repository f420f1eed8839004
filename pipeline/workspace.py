"""Where every artifact lives, and the only way anything is written: whole or not at all."""

import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import WorkFailed
from pipeline.machine import lock_or_fail

PIXELS, INDEX, ABOUT = "pixels.bin", "index.parquet", "manifest.json"  # of a presize cache; the last is written last
# Of a fold, wherever it lies: its own folder, a kernel's output, a bundle.
WEIGHTS, HISTORY, TRAINED = "weights.safetensors", "history.csv", "trained.json"
CHECKPOINT = "checkpoint/epoch.safetensors"  # after the last epoch, until the fold is trained
OOF, TEST, PREDICTED = "oof.parquet", "test.parquet", "predicted.json"
META, ARRAYS = ".pipeline", "arrays"  # what is known of the raw files; images that were cells of a table
ENSEMBLE = "ensemble"  # the member that is all of them
SUBMISSION, SESSION = "submission.csv", "session.json"  # of a kernel on Kaggle: what it predicted, what it trained


@dataclass(frozen=True)
class Workspace:
    """The folders of one competition below a root."""

    root: Path
    slug: str

    @property
    def raw(self) -> Path:
        """The raw files as extracted, untouched after that."""
        return self.root / "data" / self.slug

    @property
    def meta(self) -> Path:
        """What the pipeline knows about the raw files."""
        return self.raw / META

    @property
    def manifest(self) -> Path:
        return self.meta / "manifest.parquet"

    @property
    def features(self) -> Path:
        """Columns of the tables that models may read beside what a row is; apart from the manifest, so that folds and
        models that read none of them stay as they are when these change."""
        return self.meta / "features.parquet"

    @property
    def facts(self) -> Path:
        return self.meta / "facts.parquet"

    @property
    def audit(self) -> Path:
        return self.meta / "audit.json"

    @property
    def folds(self) -> Path:
        return self.meta / "folds.csv"

    def stamp(self, stage: str) -> Path:
        """What a stage on the raw files (data, check, folds, presize) was last done from."""
        return self.meta / f"{stage}.json"

    @property
    def fetched(self) -> Path:
        """Which source the raw files are from."""
        return self.meta / "fetched.json"

    @property
    def presized(self) -> Path:
        """The presize caches, a folder for each key."""
        return self.meta / "presize"

    @property
    def solution(self) -> Path:
        """Known answers of the test images, where the pipeline itself drew or held them back."""
        return self.meta / "solution.csv"

    @property
    def held_back_sample(self) -> Path:
        return self.meta / "sample_submission.csv"

    @property
    def runs(self) -> Path:
        return self.root / "runs" / self.slug

    @property
    def ensemble(self) -> Path:
        return self.model(ENSEMBLE)

    @property
    def blend_weights(self) -> Path:
        """The weight of each member in the ensemble."""
        return self.ensemble / "weights.json"

    @property
    def blended(self) -> Path:
        return self.ensemble / "blended.json"

    @property
    def explain(self) -> Path:
        return self.runs / "explain"

    @property
    def explanation(self) -> Path:
        return self.explain / "explain.json"

    def model(self, name: str) -> Path:
        """A model's folder, or that of the ensemble, which is a member like them."""
        return self.runs / name

    def config(self, model: str) -> Path:
        """The competition file that a model was trained by, every default written out."""
        return self.model(model) / "config.toml"

    def oof(self, member: str) -> Path:
        return self.model(member) / OOF

    def test(self, member: str) -> Path:
        return self.model(member) / TEST

    def metrics(self, member: str) -> Path:
        return self.model(member) / "metrics.json"

    def decision(self, member: str) -> Path:
        """What the metric's decisions (thresholds, cut points) were fitted to."""
        return self.model(member) / "decision.json"

    def predicted(self, model: str, fold: int | None = None) -> Path:
        """What a fold, or a model as a whole, was predicted from."""
        return (self.model(model) if fold is None else self.fold(model, fold)) / PREDICTED

    def fold(self, name: str, number: int) -> Path:
        return self.runs / name / f"fold-{number}"

    def weights(self, model: str, fold: int) -> Path:
        return self.fold(model, fold) / WEIGHTS

    def history(self, model: str, fold: int) -> Path:
        return self.fold(model, fold) / HISTORY

    def trained(self, model: str, fold: int) -> Path:
        return self.fold(model, fold) / TRAINED

    def checkpoint(self, model: str, fold: int) -> Path:
        return self.fold(model, fold) / CHECKPOINT

    @property
    def kernel(self) -> Path:
        """All that concerns kernels on Kaggle."""
        return self.runs / "kernel"

    @property
    def bundle(self) -> Path:
        return self.kernel / "bundle"

    @property
    def dataset(self) -> Path:
        """Which bundle Kaggle holds."""
        return self.kernel / "dataset.json"

    def pushed(self, stage: str) -> Path:
        """Which kernel was pushed last to train, or to infer."""
        return self.kernel / f"{stage}.json"

    def output(self, slug: str, version: int) -> Path:
        """Where a kernel's output arrives before it is taken up."""
        return self.kernel / f"output-{slug}-v{version}"

    def rehearsal(self, line: str) -> Path:
        return self.kernel / "rehearsal" / line

    @property
    def latest_submission(self) -> Path:
        """Which submission was written last."""
        return self.runs / "submission.json"

    def submitted(self, member: str) -> Path:
        """What a member's submission was made from."""
        return self.runs / f"submitted-{member}.json"

    @property
    def submissions(self) -> Path:
        return self.root / "submissions" / self.slug

    def kernel_submission(self, slug: str, version: int) -> Path:
        """A submission that a kernel wrote; its scores lie beside it, as JSON."""
        return self.submissions / f"kernel-{slug}-v{version}.csv"

    def show(self, path: Path) -> str:
        """A path as the user would type it."""
        try:
            return str(path.relative_to(Path.cwd()))
        except ValueError:
            return str(path)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it is synced and takes its place.

    Raises WorkFailed on a full disk or a missing permission; `path` then holds what it held before.
    """
    # One name per target: a killed run's leftover is overwritten by the next one (`locked` keeps others out).
    temporary = path.parent / f".{path.name}.tmp"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a path beside `folder`, where nothing lies, to fill; when the block ends well, that takes its place.

    After a kill the old folder or the new one is there, whole; what else is left is cleared by the next call.
    Raises WorkFailed on a full disk or a missing permission.
    """
    making = folder.with_name(f".{folder.name}.new")
    with explained(making):
        folder.parent.mkdir(parents=True, exist_ok=True)
        restore_folder(folder)
        _remove(making)
        try:
            yield making
            swap_folder(making, folder)
        finally:
            _remove(making)


def swap_folder(new: Path, folder: Path) -> None:
    """Put the folder `new`, on the same disk, in place of `folder`, which may be missing.

    No system call swaps two folders everywhere, so the old one steps aside first; `restore_folder` undoes that after
    a kill in between.
    """
    restore_folder(folder)
    if os.path.lexists(folder):
        os.rename(folder, _aside(folder))
    try:
        os.rename(new, folder)
    except BaseException:
        restore_folder(folder)
        raise
    sync_folder(folder.parent)
    _remove(_aside(folder))


def restore_folder(folder: Path) -> None:
    """Finish what a killed `swap_folder` began: the old folder goes back, or goes away where the new one is there."""
    aside = _aside(folder)
    if os.path.lexists(folder):
        _remove(aside)
    elif os.path.lexists(aside):
        os.rename(aside, folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what a disk can do to a write into a WorkFailed that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise WorkFailed(f"no room left on the disk while writing {path}; free some and run again") from error
        if error.errno in _NO_RIGHT:
            raise WorkFailed(f"no permission to write {path}; check its owner, or use another --root") from error
        raise


def write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, under the keys of the first one: the same bytes on every system."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Write through a function that takes a path, such as `frame.to_parquet`."""
    with atomic(path) as temporary:
        try:
            write(temporary)
        except Exception as error:
            # Writers of other libraries wrap or rephrase the system's error: look at the disk itself.
            if not isinstance(error, OSError) and "No space left" in str(error):
                raise OSError(errno.ENOSPC, str(error)) from error
            raise


def read_json(path: Path) -> Any:
    """The JSON in `path`, or None where there is no such file or it does not parse."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


@contextmanager
def locked(workspace: Workspace) -> Iterator[None]:
    """Keep other pipeline processes out of this competition; the system drops the lock if we die.

    A folder that a killed process was about to replace is put back, so that the block finds it. Raises WorkFailed,
    naming the other process. POSIX record locks: forked loader workers inherit none.
    """
    path = workspace.runs / ".lock"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with explained(path):
            _lock(handle, workspace)
            _restore_folders(workspace)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, workspace: Workspace) -> None:
    try:
        lock_or_fail(handle)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise  # a file system without locks, say
        owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        raise WorkFailed(
            f"another pipeline process ({owner}) is working on {workspace.slug!r} below {workspace.root}; "
            "wait for it, or use another --root"
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"pid {os.getpid()}\n".encode())


def _restore_folders(workspace: Workspace) -> None:
    """All that commands replace whole: the raw folder, presize caches, the bundle, folds that come from Kaggle."""
    aside = [_aside(workspace.raw), _aside(workspace.bundle)]
    aside += [*workspace.presized.glob(".*.old"), *workspace.runs.glob("*/.fold-*.old")]
    for old in aside:
        restore_folder(old.with_name(old.name.removeprefix(".").removesuffix(".old")))
