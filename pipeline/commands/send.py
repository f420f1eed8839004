"""send: a checked submission goes to Kaggle, and its score comes back beside its CV."""

import time
from pathlib import Path
from typing import Any

from pipeline.config import Competition
from pipeline.errors import RequestError, WorkFailed
from pipeline.forms import Column
from pipeline.kaggle.client import Kaggle
from pipeline.kaggle.competition import (
    Sent,
    deadline,
    find_sent,
    send_file,
    send_kernel,
    submissions_left,
    until_midnight,
    wait_for_score,
)
from pipeline.log import Log
from pipeline.scoring import pooled_kept
from pipeline.stages.submit import file_sent, latest
from pipeline.workspace import ENSEMBLE, SUBMISSION, Workspace, read_json, write_json

WAIT = 60.0  # minutes for a score, by default


def send(
    comp: Competition,
    workspace: Workspace,
    log: Log,
    message: str,
    late: bool = False,
    kernel: tuple[str, str, int] | None = None,
    minutes: float = WAIT,
) -> dict[str, Any]:
    """Send the newest submission file, or hand in a kernel's version (owner, slug, version), and wait for the score.

    A submission that was sent before is never sent again: its score is waited for. Returns what is written under
    "scores" / "kaggle" in the submission's JSON: {"ref", "status", "date", "message", "public", "private"}.
    Raises WorkFailed where it was not taken, was refused, or is not scored after `minutes`.
    """
    competition = competition_of(comp)
    about = _kernel_about(workspace, kernel) if kernel else _file_about(workspace)
    kaggle = Kaggle(log)
    sent = _sent_before(kaggle, competition, about, log)
    if sent is None:
        _refuse_late(kaggle, competition, late, log)
        _refuse_too_many(kaggle, competition, about, log)
        _keep(about, {"status": "sending", "message": message})
        if kernel:
            ref = send_kernel(kaggle, competition, kernel, SUBMISSION, message)
        else:
            ref = send_file(kaggle, competition, file_sent(comp, about.with_suffix(".csv")), message)
        _keep(about, {"ref": ref, "status": "pending"})
        log.say(f"submit: Kaggle took {about.stem} as submission {ref}; waiting for its score")
    else:
        ref = sent
    return _finish(wait_for_score(kaggle, ref, minutes), about, workspace, log)


def kernel_version(text: str) -> tuple[str, str, int]:
    """OWNER/SLUG/VERSION as its parts. Raises RequestError."""
    parts = text.split("/")
    if len(parts) != 3 or not all(parts) or not parts[2].isdigit():
        raise RequestError(f"--kernel {text!r}: expected OWNER/SLUG/VERSION, as in ada/my-kernel/3")
    return parts[0], parts[1], int(parts[2])


def competition_of(comp: Competition) -> str:
    """The competition's name on Kaggle. Raises RequestError for a source elsewhere."""
    if comp.source.kaggle is None:
        raise RequestError(f"{comp.slug} is not on Kaggle: its source is {comp.source.kind!r}; set source.kaggle")
    return comp.source.kaggle


def leaderboard(comp: Competition, workspace: Workspace) -> list[dict[str, Any]]:
    """What was sent, oldest first: {"submission", "date", "cv", "public", "private", "status"}."""
    rows = []
    for path in workspace.submissions.glob("*.json"):
        about = read_json(path) or {}
        sent = about.get("scores", {}).get("kaggle")
        if sent and sent.get("ref"):
            row = {key: sent.get(key) for key in ("date", "public", "private", "status")}
            rows.append({"submission": path.stem, "cv": _cv_of(comp, workspace, about), **row})
    return sorted(rows, key=lambda row: (row["date"] or "", row["submission"]))


def _cv_of(comp: Competition, workspace: Workspace, about: dict[str, Any]) -> float | None:
    """The CV of what the leaderboard scores: the metric of the submitted targets, their mean, or of all as one.

    `about` is the submission's JSON; None where it is not known.
    """
    cv: dict[str, dict[str, float]] = about.get("cv") or {}
    if comp.leaderboard.pooled:
        pooled = about.get("pooled") or _pooled_since(comp, workspace, about.get("member"), cv)
        return pooled.get(comp.metric)
    submitted = {Column.of(name, source).target for name, source in comp.submission.columns.items()} or set(cv)
    of = {name: chosen.name for name, chosen in comp.leaderboard.of.items() if name in submitted}
    value = comp.leaderboard.mean({name: cv[name][own] for name, own in sorted(of.items()) if own in cv.get(name, {})})
    return None if value is None else round(value, 6)


def _pooled_since(comp: Competition, workspace: Workspace, member: str | None, cv: dict[str, Any]) -> dict[str, float]:
    """What metrics.json says of a submission from before its own JSON did, where it is of the same predictions."""
    if member not in {ENSEMBLE, *(model.name for model in comp.models)}:
        return {}
    metrics = read_json(workspace.metrics(member)) or {}
    return pooled_kept(metrics) if cv == (metrics.get("tta_cv") or metrics.get("cv")) else {}


def _file_about(workspace: Workspace) -> Path:
    name = latest(workspace)
    if name is None:
        raise WorkFailed(f"no submission in {workspace.submissions} yet; run `pipeline submit`")
    return (workspace.submissions / name).with_suffix(".json")


def _kernel_about(workspace: Workspace, kernel: tuple[str, str, int]) -> Path:
    """The JSON of a code submission: its CV is that of the newest ensemble, whose folds the kernel holds."""
    owner, slug, version = kernel
    path = workspace.kernel_submission(slug, version).with_suffix(".json")
    if not path.is_file():
        metrics = read_json(workspace.metrics("ensemble")) or {}
        pooled = {"pooled": own} if (own := pooled_kept(metrics)) else {}
        write_json(path, {"member": f"{owner}/{slug}/{version}", "cv": metrics.get("cv"), **pooled, "scores": {}})
    return path


def _sent_before(kaggle: Kaggle, competition: str, about: Path, log: Log) -> int | None:
    """The number of an earlier sending of the same file, also of one that was killed before it was told."""
    kept = ((read_json(about) or {}).get("scores") or {}).get("kaggle") or {}
    if kept.get("ref"):
        log.say(f"submit: {about.stem} was sent before, as submission {kept['ref']}; it is not sent again")
        return kept["ref"]
    if kept.get("status") != "sending":
        return None
    names = [SUBMISSION] if about.stem.startswith("kernel-") else [f"{about.stem}.csv", f"{about.stem}.csv.zip"]
    found = next(filter(None, (find_sent(kaggle, competition, name, kept["message"]) for name in names)), None)
    if found is None:
        return None
    log.say(f"submit: Kaggle has {about.stem} already, as submission {found.ref}; it is not sent again")
    _keep(about, {"ref": found.ref})
    return found.ref


def _refuse_late(kaggle: Kaggle, competition: str, late: bool, log: Log) -> None:
    try:
        end = deadline(kaggle, competition)
    except RequestError as error:  # not known to this account; the next call says why, if it matters
        log.warn(f"the competition's end is not known ({error})")
        return
    if end is None or end.timestamp() > kaggle.clock():
        return
    if not late:
        raise RequestError(
            f"{competition} ended on {end:%Y-%m-%d %H:%M} UTC: a submission is scored, but counts on no leaderboard; "
            "send it with --late"
        )
    log.say(f"submit: late, {competition} ended on {end:%Y-%m-%d}")


def _refuse_too_many(kaggle: Kaggle, competition: str, about: Path, log: Log) -> None:
    allowed, today = submissions_left(kaggle, competition)
    if allowed <= 0:
        raise WorkFailed(
            f"no submission left today ({today} made); the count starts anew in {until_midnight(kaggle.clock())} "
            f"(midnight UTC); {about.stem} is kept, send it then with the same command"
        )
    log.say(f"submit: {allowed} submissions left today")


def _finish(sent: Sent, about: Path, workspace: Workspace, log: Log) -> dict[str, Any]:
    kept = _keep(
        about,
        {"ref": sent.ref, "status": sent.status, "date": sent.date, "public": sent.public, "private": sent.private},
    )
    if sent.status == "error":
        raise WorkFailed(f"Kaggle refused submission {sent.ref} ({about.stem}): {sent.error or 'no reason given'}")
    if sent.status != "complete":
        raise WorkFailed(
            f"submission {sent.ref} ({about.stem}) is taken but not scored yet; "
            "the same command waits on, and does not send it again"
        )
    private = f", private {sent.private:.5f}" if sent.private is not None else ""
    public = f"public {sent.public:.5f}" if sent.public is not None else "no public score"
    log.say(f"submit: {about.stem} scored {public}{private} ({workspace.show(about)})")
    return kept


def _keep(about: Path, news: dict[str, Any]) -> dict[str, Any]:
    """Add to scores.kaggle of a submission's JSON; the first word of a sending is when it began."""
    whole = read_json(about) or {}
    scores = whole.get("scores") or {}
    kept = {"began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **scores.get("kaggle", {}), **news}
    write_json(about, {**whole, "scores": {**scores, "kaggle": kept}})
    return kept
