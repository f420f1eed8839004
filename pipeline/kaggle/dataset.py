"""Private datasets: a folder of files goes up as a whole, and is looked through before it is used."""

from pathlib import Path
from typing import Any

from pipeline.errors import WorkFailed
from pipeline.kaggle.client import Kaggle, NotThere, Refused, Unsure
from pipeline.kaggle.transfer import upload

POLL = 30.0  # the longest pause between two looks, in seconds
LOOKS = 4  # at a listing, before a file counts as lost
READY, FAILED = "READY", ("FAILED", "DELETED")


def status(kaggle: Kaggle, owner: str, slug: str) -> str | None:
    """The state of a dataset's newest version (READY, ...); None where there is none that we may see."""
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetStatusRequest

    request = ApiGetDatasetStatusRequest()
    request.owner_slug, request.dataset_slug = owner, slug
    try:
        return kaggle.call(_api(kaggle).get_dataset_status, request, f"looking at {owner}/{slug}").status.name
    except NotThere:
        return None
    except Refused as error:
        if error.status == 403:  # what Kaggle says to who may not know
            return None
        raise


def publish(kaggle: Kaggle, owner: str, slug: str, title: str, folder: Path, notes: str, minutes: float) -> None:
    """Make a private dataset of a flat folder's files, or its next version; return once it can be mounted.

    A version holds only the files that come with it, so all of them are uploaded, and one that fails ends it
    before anything is made. Raises WorkFailed; also where the finished dataset lacks a file.
    """
    before = status(kaggle, owner, slug)
    if before is not None and before != READY and before not in FAILED:
        wait_ready(kaggle, owner, slug, minutes)  # a version on top of one in the making is refused
    files = sorted(path for path in folder.iterdir() if path.is_file())
    tokens = [_upload(kaggle, path) for path in files]
    if before is None or before == "DELETED":
        said = _create(kaggle, owner, slug, title, tokens)
    else:
        said = _create_version(kaggle, owner, slug, tokens, notes, minutes)
    if said.error or (said.status or "").lower() not in ("", "ok"):
        raise WorkFailed(f"dataset {owner}/{slug}: Kaggle did not make it: {kaggle.clean(said.error or said.status)}")
    wait_ready(kaggle, owner, slug, minutes)
    refuse_incomplete(kaggle, owner, slug, folder)


def wait_ready(kaggle: Kaggle, owner: str, slug: str, minutes: float) -> None:
    """Return once the newest version is READY. Raises WorkFailed where it failed, or is not after `minutes`."""
    pause, waited = 5.0, 0.0
    while (state := status(kaggle, owner, slug)) != READY:
        if state in FAILED:
            raise WorkFailed(f"dataset {owner}/{slug}: Kaggle could not process it ({state}); bundle and push again")
        if waited >= minutes * 60:
            raise WorkFailed(
                f"dataset {owner}/{slug} is still {state or 'unknown'} after {minutes:.0f} min; push again later"
            )
        if not waited:
            kaggle.log.say(f"kaggle: dataset {owner}/{slug} is being processed ({state or 'not seen yet'})")
        kaggle.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, POLL)


def refuse_incomplete(kaggle: Kaggle, owner: str, slug: str, folder: Path) -> None:
    """Raise WorkFailed unless the dataset lists every file of the folder, in its size.

    For a moment Kaggle may still speak of the version before: it is asked a few times.
    """
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    for again in range(LOOKS, 0, -1):
        listed = _files(kaggle, owner, slug)
        wrong = [name for name, size in sizes.items() if listed.get(name) != size]
        if not wrong:
            return
        if again > 1:
            kaggle.sleep(POLL)
    raise WorkFailed(
        f"dataset {owner}/{slug} lacks {len(wrong)} of its files, or has them in another size "
        f"({', '.join(wrong[:3])}); push again"
    )


def _files(kaggle: Kaggle, owner: str, slug: str) -> dict[str, int]:
    from kagglesdk.datasets.types.dataset_api_service import ApiListDatasetFilesRequest

    request = ApiListDatasetFilesRequest()
    request.owner_slug, request.dataset_slug, request.page_size = owner, slug, 200
    pages = kaggle.pages(_api(kaggle).list_dataset_files, request, f"listing {owner}/{slug}")
    return {file.name: file.total_bytes for said in pages for file in said.dataset_files or []}


def _upload(kaggle: Kaggle, path: Path) -> str:
    from kagglesdk.blobs.types.blob_api_service import ApiBlobType, ApiStartBlobUploadRequest

    about = path.stat()
    request = ApiStartBlobUploadRequest()
    request.type, request.name = ApiBlobType.DATASET, path.name
    request.content_length, request.last_modified_epoch_seconds = about.st_size, int(about.st_mtime)
    doing = f"uploading {path.name}"
    place = kaggle.call(kaggle.client.blobs.blob_api_client.start_blob_upload, request, doing)
    upload(kaggle, path, place.create_url, doing)
    return place.token


def _new_files(tokens: list[str]) -> list[Any]:
    from kagglesdk.datasets.types.dataset_api_service import ApiDatasetNewFile

    files = []
    for token in tokens:
        file = ApiDatasetNewFile()
        file.token = token
        files.append(file)
    return files


def _create(kaggle: Kaggle, owner: str, slug: str, title: str, tokens: list[str]) -> Any:
    from kagglesdk.datasets.types.dataset_api_service import ApiCreateDatasetRequest

    request = ApiCreateDatasetRequest()
    request.owner_slug, request.slug, request.title, request.license_name = owner, slug, title, "other"
    request.is_private, request.files = True, _new_files(tokens)
    return _once(kaggle, _api(kaggle).create_dataset, request, f"making the dataset {owner}/{slug}")


def _create_version(kaggle: Kaggle, owner: str, slug: str, tokens: list[str], notes: str, minutes: float) -> Any:
    from kagglesdk.datasets.types.dataset_api_service import (
        ApiCreateDatasetVersionRequest,
        ApiCreateDatasetVersionRequestBody,
    )

    body = ApiCreateDatasetVersionRequestBody()
    body.version_notes, body.files = notes, _new_files(tokens)
    request = ApiCreateDatasetVersionRequest()
    request.owner_slug, request.dataset_slug, request.body = owner, slug, body
    doing = f"making a version of {owner}/{slug}"
    for again in (True, True, False):
        try:
            return _once(kaggle, _api(kaggle).create_dataset_version, request, doing)
        except Refused as error:
            if not again or error.status != 403:
                raise
            kaggle.log.say(f"kaggle: {doing}: refused, as the version before is in the making; waiting for it")
            kaggle.sleep(POLL)
            wait_ready(kaggle, owner, slug, minutes)
    raise AssertionError("the last attempt returns or raises")


def _once(kaggle: Kaggle, rpc: Any, request: Any, doing: str) -> Any:
    try:
        return kaggle.call(rpc, request, doing, repeat=False)
    except Unsure as unsure:
        raise WorkFailed(f"{unsure} (it may have been made: a push looks at what is there first)") from None


def _api(kaggle: Kaggle) -> Any:
    return kaggle.client.datasets.dataset_api_client
