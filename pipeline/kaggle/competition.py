"""What is asked of a competition: its files, how many submissions are left, sending one, its score."""

import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.errors import WorkFailed
from pipeline.kaggle.client import Kaggle, Unsure
from pipeline.kaggle.transfer import asking, download, upload

POLL = 30.0  # the longest pause between two looks at a score, in seconds


@dataclass(frozen=True)
class Sent:
    """A submission as Kaggle lists it. `status` is pending, complete or error."""

    ref: int
    status: str
    date: str
    public: float | None
    private: float | None
    error: str


def download_files(kaggle: Kaggle, competition: str, target: Path) -> None:
    """All files of a competition as one archive at `target`. Raises WorkFailed."""
    from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest

    request = ApiDownloadDataFilesRequest()
    request.competition_name = competition
    rpc, doing = _api(kaggle).download_data_files, f"downloading {competition}"
    kaggle.log.say(f"kaggle: {doing}")
    with kaggle.log.bar(f"download {target.name}") as progress:
        download(kaggle, lambda: asking(kaggle, rpc, request, doing, competition), target, doing, progress)
    if not zipfile.is_zipfile(target):
        size = target.stat().st_size
        target.unlink()
        raise WorkFailed(f"{doing}: what came ({size:,} bytes) is not a zip archive; run the same again")


def submissions_left(kaggle: Kaggle, competition: str) -> tuple[int, int]:
    """How many submissions are allowed now, and how many were made today (UTC)."""
    from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionLimitsRequest

    request = ApiGetSubmissionLimitsRequest()
    request.competition_name = competition
    said = kaggle.call(_api(kaggle).get_submission_limits, request, "asking for submissions left", competition)
    return said.num_allowed_now, said.num_today


def until_midnight(now: float) -> str:
    """The time until limits are counted anew, at midnight UTC."""
    moment = datetime.fromtimestamp(now, UTC)
    left = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) - moment
    hours, seconds = divmod(int(left.total_seconds()), 3600)
    return f"{hours} h {seconds // 60} min"


def deadline(kaggle: Kaggle, competition: str) -> datetime | None:
    """When the competition ends (UTC); None where Kaggle names no end."""
    from kagglesdk.competitions.types.competition_api_service import ApiGetCompetitionRequest

    request = ApiGetCompetitionRequest()
    request.competition_name = competition
    end = kaggle.call(_api(kaggle).get_competition, request, f"asking about {competition}", competition).deadline
    return end.replace(tzinfo=UTC) if end is not None and end.year > 1 else None


def send_file(kaggle: Kaggle, competition: str, path: Path, message: str) -> int:
    """Upload a submission and hand it in; returns its number. Raises WorkFailed where it was not taken.

    Kaggle answers some refusals as if all were well ("Could not submit"): only a number counts as taken.
    """
    from kagglesdk.competitions.types.competition_api_service import (
        ApiCreateSubmissionRequest,
        ApiStartSubmissionUploadRequest,
    )

    about = path.stat()
    start = ApiStartSubmissionUploadRequest()
    start.competition_name, start.file_name = competition, path.name
    start.content_length, start.last_modified_epoch_seconds = about.st_size, int(about.st_mtime)
    doing = f"sending {path.name}"
    place = kaggle.call(_api(kaggle).start_submission_upload, start, doing, competition)
    upload(kaggle, path, place.create_url, doing)
    request = ApiCreateSubmissionRequest()
    request.competition_name, request.blob_file_tokens = competition, place.token
    request.submission_description = message
    return _hand_in(kaggle, _api(kaggle).create_submission, request, competition, path.name)


def send_kernel(kaggle: Kaggle, competition: str, kernel: tuple[str, str, int], file: str, message: str) -> int:
    """Hand in the output `file` of a kernel's version (owner, slug, version); returns the submission's number."""
    from kagglesdk.competitions.types.competition_api_service import ApiCreateCodeSubmissionRequest

    request = ApiCreateCodeSubmissionRequest()
    request.competition_name, request.file_name, request.submission_description = competition, file, message
    request.kernel_owner, request.kernel_slug, request.kernel_version = kernel
    return _hand_in(kaggle, _api(kaggle).create_code_submission, request, competition, file)


def find_sent(kaggle: Kaggle, competition: str, file: str, message: str) -> Sent | None:
    """The newest submission of that file name and description, if there is one."""
    from kagglesdk.competitions.types.competition_api_service import ApiListSubmissionsRequest

    request = ApiListSubmissionsRequest()
    request.competition_name, request.page_size = competition, 100
    listed = kaggle.call(_api(kaggle).list_submissions, request, "listing submissions", competition).submissions
    mine = [one for one in listed or [] if one.file_name == file and one.description == message]
    return _sent(max(mine, key=lambda one: one.ref)) if mine else None


def wait_for_score(kaggle: Kaggle, ref: int, minutes: float) -> Sent:
    """Poll until the submission is scored or refused; still pending where `minutes` were not enough."""
    from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest

    request = ApiGetSubmissionRequest()
    request.ref = ref
    pause, waited = 5.0, 0.0
    while True:
        sent = _sent(kaggle.call(_api(kaggle).get_submission, request, f"asking for the score of {ref}"))
        if sent.status != "pending" or waited >= minutes * 60:
            return sent
        kaggle.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, POLL)


def _hand_in(kaggle: Kaggle, rpc: Any, request: Any, competition: str, file: str) -> int:
    doing = f"handing in {file}"
    try:
        said = kaggle.call(rpc, request, doing, competition, repeat=False)
    except Unsure as unsure:
        found = find_sent(kaggle, competition, file, request.submission_description)
        if found is None:
            raise WorkFailed(f"{unsure}; it was not handed in, as Kaggle lists no such submission") from None
        return found.ref
    if said.ref:
        return said.ref
    found = find_sent(kaggle, competition, file, request.submission_description)
    if found is None:
        raise WorkFailed(f"{doing}: Kaggle did not take it: {kaggle.clean(said.message or 'no reason given')}")
    return found.ref


def _sent(one: Any) -> Sent:
    date = one.date.isoformat(timespec="seconds") if one.date else ""
    return Sent(
        one.ref,
        one.status.name.lower(),
        date,
        _score(one.public_score),
        _score(one.private_score),
        one.error_description or "",
    )


def _score(text: str) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _api(kaggle: Kaggle) -> Any:
    return kaggle.client.competitions.competition_api_client
