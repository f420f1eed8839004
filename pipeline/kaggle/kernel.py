"""Kernels: pushed with every setting said aloud, watched, and their output fetched."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pipeline.errors import WorkFailed
from pipeline.kaggle.client import WEB, Kaggle, Unsure
from pipeline.kaggle.transfer import Expired, download, refuse_expired

POLL = 30.0  # the longest pause between two looks, in seconds
OVER = ("COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED", "CANCEL_REQUESTED")


@dataclass(frozen=True)
class Kernel:
    """A kernel to push: what it runs, on which inputs, on what machine. Internet is off unless asked for."""

    owner: str
    slug: str
    text: str
    datasets: Sequence[str]
    competitions: Sequence[str]
    kernels: Sequence[str] = ()
    gpu: bool = True
    internet: bool = False
    seconds: int | None = None


def save(kaggle: Kaggle, kernel: Kernel) -> tuple[int, str]:
    """Push and run a private kernel; returns its version's number and address.

    Kaggle reports some failures as a field of a good answer: any of them raises WorkFailed.
    """
    from kagglesdk.kernels.types.kernels_api_service import ApiSaveKernelRequest

    request = ApiSaveKernelRequest()
    request.slug, request.new_title = f"{kernel.owner}/{kernel.slug}", kernel.slug
    request.text, request.language, request.kernel_type = kernel.text, "python", "notebook"
    request.dataset_data_sources = list(kernel.datasets)
    request.competition_data_sources = list(kernel.competitions)
    request.kernel_data_sources, request.model_data_sources = list(kernel.kernels), []
    # Said aloud where the default is another: Kaggle's is a public network and whatever machine came last.
    request.is_private, request.enable_internet = True, kernel.internet
    request.enable_gpu, request.enable_tpu = kernel.gpu, False
    if kernel.gpu:
        request.machine_shape = "NvidiaTeslaT4"  # two of them
    if kernel.seconds:
        request.session_timeout_seconds = kernel.seconds
    doing = f"pushing {kernel.owner}/{kernel.slug}"
    try:
        said = kaggle.call(_api(kaggle).save_kernel, request, doing, repeat=False)
    except Unsure as unsure:
        raise WorkFailed(f"{unsure} (it may run all the same: look at {WEB}/code/{request.slug})") from None
    _refuse(kaggle, said, doing)
    return said.version_number, said.url


def _refuse(kaggle: Kaggle, said: Any, doing: str) -> None:
    if said.error:
        raise WorkFailed(f"{doing}: Kaggle refused: {kaggle.clean(said.error)}")
    for kind in ("dataset", "competition", "kernel", "model"):
        wrong = getattr(said, f"invalid_{kind}_sources")
        if wrong:
            raise WorkFailed(
                f"{doing}: Kaggle does not know, or does not show you, the {kind} {', '.join(wrong)}; the kernel that "
                f"started without it is of no use: stop it at {said.url or WEB}"
            )
    if not said.version_number:
        raise WorkFailed(f"{doing}: Kaggle named no version; look at {said.url or WEB}")


def state(kaggle: Kaggle, owner: str, slug: str) -> tuple[str, str]:
    """The state of a kernel's newest version (QUEUED, RUNNING, COMPLETE, ERROR, ...) and what it says of a failure."""
    from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelSessionStatusRequest

    request = ApiGetKernelSessionStatusRequest()
    request.user_name, request.kernel_slug = owner, slug
    said = kaggle.call(_api(kaggle).get_kernel_session_status, request, f"looking at {owner}/{slug}")
    return said.status.name, said.failure_message or ""


def watch(kaggle: Kaggle, owner: str, slug: str, say: Callable[[str], None], minutes: float) -> None:
    """Show a kernel's log as it grows, until it is over. Raises WorkFailed where it failed, or after `minutes`."""
    shown, pause, waited, last = 0, 5.0, 0.0, ""
    while True:
        now, why = state(kaggle, owner, slug)
        if now != last:
            kaggle.log.say(f"kaggle: {owner}/{slug} is {now.lower().replace('_', ' ')}")
            last = now
        if now != "QUEUED":
            shown = _follow(kaggle, owner, slug, say, shown)
        if now in OVER:
            break
        if waited >= minutes * 60:
            raise WorkFailed(
                f"{owner}/{slug} is still {now.lower()} after {minutes:.0f} min; `pipeline kernel wait` waits on"
            )
        kaggle.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, POLL)
    if now != "COMPLETE":
        what = "failed" if now == "ERROR" else "was cancelled"
        raise WorkFailed(f"{owner}/{slug} {what}: {kaggle.clean(why) or 'its log says why'}; {WEB}/code/{owner}/{slug}")


def _follow(kaggle: Kaggle, owner: str, slug: str, say: Callable[[str], None], shown: int) -> int:
    """Show what the log holds beyond `shown` pieces; returns how many there are now. A broken stream is no failure:
    the next look takes it up, and Kaggle sends it from its start.
    """
    number = 0
    try:
        for number, text in enumerate(_events(kaggle, owner, slug), 1):
            if number > shown:
                for line in text.splitlines():
                    say(kaggle.hide(line))
    except (requests.RequestException, ValueError):
        return max(shown, number)
    return max(shown, number)


def _events(kaggle: Kaggle, owner: str, slug: str) -> Iterator[str]:
    """The pieces of a log: server-sent events while it runs, a JSON list or text afterwards."""
    http = kaggle.client.http_client()
    base = http._endpoint + ("" if "api.kaggle.com" in http._endpoint else "/api")
    headers = {"Accept": "text/event-stream, */*"}
    url = f"{base}/v1/kernels/logs/stream/{owner}/{slug}"
    with http._session.get(url, stream=True, headers=headers) as response:
        response.raise_for_status()
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            yield from _finished(response.text)
            return
        for line in response.iter_lines(decode_unicode=True):
            if line and line.startswith("data:"):
                payload = line[5:].strip()
                if payload == "END_OF_LOG":
                    return
                yield _text(payload)


def _finished(body: str) -> Iterator[str]:
    try:
        pieces = json.loads(body)
    except ValueError:
        yield from body.splitlines()
        return
    for piece in pieces if isinstance(pieces, list) else [pieces]:
        yield str(piece.get("data", "")) if isinstance(piece, dict) else str(piece)


def _text(payload: str) -> str:
    try:
        piece = json.loads(payload)
    except ValueError:
        return payload
    return str(piece.get("data", "")) if isinstance(piece, dict) else payload


def outputs(kaggle: Kaggle, owner: str, slug: str) -> dict[str, str]:
    """Addresses of a kernel's output files by name, of the newest version. They are signed, and soon expire."""
    from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

    request = ApiListKernelSessionOutputRequest()
    request.user_name, request.kernel_slug, request.page_size = owner, slug, 100
    pages = kaggle.pages(_api(kaggle).list_kernel_session_output, request, f"listing the output of {owner}/{slug}")
    return {file.file_name: file.url for said in pages for file in said.files or []}


def fetch_output(kaggle: Kaggle, owner: str, slug: str, addresses: dict[str, str], name: str, target: Path) -> None:
    """Download one output file; `addresses` are those of `outputs`, asked for anew once they have expired."""
    doing = f"fetching {name}"

    def ask() -> requests.Response:
        def attempt() -> requests.Response:
            response = kaggle.storage.get(addresses[name], stream=True)
            refuse_expired(response)
            response.raise_for_status()
            return response

        try:
            return kaggle.persist(attempt, doing)
        except Expired:
            fresh = outputs(kaggle, owner, slug)
            if name not in fresh:
                raise WorkFailed(f"{doing}: {owner}/{slug} has no such output any more") from None
            addresses.update(fresh)
            raise

    with kaggle.log.bar(doing) as progress:
        download(kaggle, ask, target, doing, progress)


def _api(kaggle: Kaggle) -> Any:
    return kaggle.client.kernels.kernels_api_client
