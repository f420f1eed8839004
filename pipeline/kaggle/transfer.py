"""Files to and from Kaggle's storage: whole or not at all, and taken up where they were cut off."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from pipeline.errors import WorkFailed
from pipeline.kaggle.client import ATTEMPTS, Kaggle
from pipeline.workspace import explained, read_json, sync_folder, write_json

PIECE = 1 << 16  # bytes; what came of the last piece before a cut is lost
Progress = Callable[[int, int], None]
Ask = Callable[[], requests.Response]


class _Cut(Exception):
    """A transfer ended early; the next attempt goes on from there."""


def download(kaggle: Kaggle, ask: Ask, target: Path, doing: str, progress: Progress) -> None:
    """Fetch one file to `target`, in one rename at the end.

    `ask` asks Kaggle for a signed address and opens it from its first byte; it is asked anew for every attempt,
    so an address that expired is never used again. What came so far is kept beside, under a name with a dot, and
    taken up by the next attempt or command, unless the server's file is another one by now. Raises WorkFailed.
    """
    part = target.with_name(f".{target.name}.part")
    fruitless = 0
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            before = _size(part)
            try:
                _fetch(kaggle, ask, part, doing, progress)
                break
            except _Cut as cut:
                why = str(cut)
            fruitless = 0 if _size(part) > before else fruitless + 1
            if fruitless == ATTEMPTS:
                raise WorkFailed(
                    f"{doing}: {why}, {ATTEMPTS} times without a byte more; "
                    "what came so far is kept, and the same command goes on from there"
                )
            pause = float(2**fruitless)
            kaggle.log.say(f"kaggle: {doing}: {why} at {_size(part):,} bytes; going on in {pause:.0f} s")
            kaggle.sleep(pause)
        _about(part).unlink(missing_ok=True)
        os.replace(part, target)
        sync_folder(target.parent)


def upload(kaggle: Kaggle, path: Path, url: str, doing: str) -> None:
    """Put a file to the address that Kaggle gave for it; goes on where a broken upload stopped.

    Google's resumable protocol: after a 503 or a broken connection, `Content-Range: bytes */N` asks how much
    has come (308 with a Range). Raises WorkFailed; a file that is not wholly there never counts as sent.
    """
    total = path.stat().st_size
    start = 0
    for number in range(ATTEMPTS):
        try:
            if number:
                received = _received(kaggle, url, total)
                if received is None:
                    return
                start = received
            answer = _put(kaggle, path, url, start, total)
        except (requests.ConnectionError, requests.Timeout):
            answer = None
        if answer is not None and answer.status_code in (200, 201):
            return
        if answer is not None and answer.status_code not in (308, 429, 500, 502, 503, 504):
            raise WorkFailed(
                f"{doing}: the storage refused {path.name} ({answer.status_code}); nothing was handed in; "
                "run the same again"
            )
        if number < ATTEMPTS - 1:
            why = "the connection broke" if answer is None else f"the storage answered {answer.status_code}"
            kaggle.log.say(f"kaggle: {doing}: {why}; going on in {2**number} s")
            kaggle.sleep(float(2**number))
    raise WorkFailed(f"{doing}: {path.name} could not be uploaded in {ATTEMPTS} attempts; nothing was handed in")


def _fetch(kaggle: Kaggle, ask: Ask, part: Path, doing: str, progress: Progress) -> None:
    """One attempt: leaves the whole file in `part`, or raises _Cut."""
    try:
        response = ask()
    except Expired as expired:
        raise _Cut(str(expired)) from None
    with response:
        total = _length(response)
        kept, held = read_json(_about(part)), _size(part)
        mark = {"etag": response.headers.get("ETag"), "modified": response.headers.get("Last-Modified"), "bytes": total}
        same = kept == mark and (mark["etag"] or mark["modified"])
        if same and total is not None and held == total:
            return  # killed before the rename
        if same and total is not None and 0 < held < total:
            _go_on(kaggle, response.url, mark, part, held, progress)
            return
        _need_room(part, total or 0, doing)
        part.unlink(missing_ok=True)
        write_json(_about(part), mark)
        _save(response, part, 0, total, progress)


def _go_on(kaggle: Kaggle, url: str, mark: dict[str, Any], part: Path, held: int, progress: Progress) -> None:
    """Ask for the rest. A server that sends the whole file, or another range, is taken at its word."""
    strong = mark["etag"] and not mark["etag"].startswith("W/")  # If-Range takes no weak marks
    headers = {"Range": f"bytes={held}-", "If-Range": mark["etag"] if strong else mark["modified"] or ""}
    try:
        rest = kaggle.storage.get(url, headers=headers, stream=True)
    except (requests.ConnectionError, requests.Timeout):
        raise _Cut("the connection broke") from None
    with rest:
        if rest.status_code == 206 and rest.headers.get("Content-Range", "").startswith(f"bytes {held}-"):
            _save(rest, part, held, mark["bytes"], progress)
        elif rest.status_code == 200 and _length(rest) == mark["bytes"]:
            part.unlink()
            _save(rest, part, 0, mark["bytes"], progress)
        elif rest.status_code in (401, 403):
            raise _Cut("the signed address had expired")
        else:  # 416, or another file by now
            part.unlink()
            raise _Cut(f"the storage answered {rest.status_code}")


def _save(response: requests.Response, part: Path, start: int, total: int | None, progress: Progress) -> None:
    done = start
    with open(part, "ab" if start else "wb") as file:
        try:
            for piece in response.iter_content(PIECE):
                file.write(piece)
                done += len(piece)
                progress(done, total or done)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
            raise _Cut("the connection broke") from None
        finally:
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done < total:
        raise _Cut(f"the file ended at {done:,} of {total:,} bytes")
    if total is not None and done > total:
        part.unlink()
        raise _Cut(f"{done:,} bytes came in place of {total:,}")


class Expired(Exception):
    """A signed address was refused."""


def refuse_expired(response: requests.Response) -> None:
    """Raise Expired where the storage refuses an address."""
    if response.status_code in (400, 401, 403):
        raise Expired("the signed address had expired")


def asking(kaggle: Kaggle, rpc: Callable[[Any], Any], request: Any, doing: str, competition: str) -> Any:
    """Call a Download RPC, which answers with a redirect to a signed address, and return the opened response.

    A refusal by the storage is not one by Kaggle: it means that the address had expired.
    """

    def attempt() -> requests.Response:
        try:
            return rpc(request)
        except requests.HTTPError as error:
            if error.response is not None and error.response.history:
                refuse_expired(error.response)
            raise

    return kaggle.persist(attempt, doing, competition)


def _received(kaggle: Kaggle, url: str, total: int) -> int | None:
    """How many bytes of an upload have come; None where all have."""
    answer = kaggle.storage.put(url, headers={"Content-Range": f"bytes */{total}", "Content-Length": "0"})
    if answer.status_code in (200, 201):
        return None
    _, _, last = answer.headers.get("Range", "").rpartition("-")
    return int(last) + 1 if answer.status_code == 308 and last.isdigit() else 0


def _put(kaggle: Kaggle, path: Path, url: str, start: int, total: int) -> requests.Response:
    headers = {"Content-Length": str(total - start)}
    if start:
        headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
    with open(path, "rb") as file:
        file.seek(start)
        return kaggle.storage.put(url, data=file if total > start else b"", headers=headers)


def _about(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _length(response: requests.Response) -> int | None:
    said = response.headers.get("Content-Length", "")
    return int(said) if said.isdigit() else None


def _need_room(part: Path, total: int, doing: str) -> None:
    free = shutil.disk_usage(part.parent).free + _size(part)
    if total > free:
        raise WorkFailed(
            f"{doing}: {total / 1e9:.1f} GB to download, but {part.parent} has {free / 1e9:.1f} GB left; "
            "free some, or use another --root"
        )
