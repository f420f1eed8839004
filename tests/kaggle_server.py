"""A local server that speaks Kaggle's wire format, with failures on request.

`POST /api/v1/{service}/{Rpc}` with JSON, signed addresses for storage, resumable uploads, log streams. It keeps
what it was told, so that tests can ask what was really done. Requests may be in absolute form (`http_proxy`).
"""

import base64
import hashlib
import http.server
import json
import threading
import time
import urllib.parse
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

TOKEN = "KGAT-secret-of-the-tests-0123456789"
KEY = "key-secret-of-the-tests-9876543210"
USER = "ada"


@dataclass
class Failure:
    """What the next call of an RPC (or of 'GET storage', 'PUT storage') does in place of answering.

    `status` with `message` and `headers`; or `cut` bytes of the body and a closed connection; or `silent`
    seconds without a word; or a `page` that is not Kaggle's; `after` answers but does the work first.
    """

    status: int = 0
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    silent: float = 0.0
    page: str = ""
    after: bool = False


class KaggleServer:
    """The state of a small Kaggle: one competition, one account."""

    def __init__(self, competition: str = "tiny-comp") -> None:
        self.competition = competition
        self.archive = b""
        self.etag = '"one"'
        self.files: list[dict[str, Any]] = []
        self.tokens, self.users = {TOKEN: USER}, {USER: KEY}
        self.allowed, self.today = 5, 0
        self.deadline = ""
        self.scores = ["0.91234"]  # dealt to submissions in order; the last one stays
        self.pending = 0  # looks at a submission before it is scored
        self.submissions: list[dict[str, Any]] = []
        self.blobs: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        self.datasets: dict[str, dict[str, Any]] = {}
        self.processing = 0  # looks at a dataset before it is READY
        self.lost: set[str] = set()  # names of files that a dataset loses
        self.kernels: dict[str, dict[str, Any]] = {}
        self.kernel_states: list[str] = ["COMPLETE"]
        self.kernel_failure = ""
        self.outputs: dict[str, bytes] = {}
        self.log_lines: list[str] = []
        self.save_kernel: dict[str, Any] = {}  # joins the answer to SaveKernel
        self.signed: dict[str, int] = {}
        self.failures: dict[str, list[Failure]] = defaultdict(list)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.lock = threading.Lock()

    def start(self) -> "KaggleServer":
        handler = type("Handler", (_Handler,), {"kaggle": self})
        self.http = _Quiet(("127.0.0.1", 0), handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def fail(self, call: str, times: int = 1, **failure: Any) -> None:
        self.failures[call] += [Failure(**failure)] * times

    def count(self, call: str) -> int:
        return sum(name == call for name, _ in self.calls)

    def said(self, call: str) -> list[dict[str, Any]]:
        return [body for name, body in self.calls if name == call]

    def sign(self, path: str) -> str:
        """A signed address, good until `expire`."""
        signature = hashlib.sha256(f"{path}{len(self.signed)}".encode()).hexdigest()[:24]
        self.signed[signature] = 1
        return f"{self.url}/storage/{path}?X-Goog-Signature={signature}"

    def expire(self) -> None:
        self.signed = dict.fromkeys(self.signed, 0)

    # The RPCs: a dict is the answer, a str a redirect, a tuple an error.

    def IntrospectToken(self, body: dict) -> Any:
        user = self.tokens.get(body.get("token", ""))
        return {"active": True, "username": user} if user else {}

    def ListDataFiles(self, body: dict) -> Any:
        return {"files": self.files}

    def DownloadDataFiles(self, body: dict) -> Any:
        if body.get("competitionName") != self.competition:
            return (404, "Not found")
        return self.sign(f"{self.competition}.zip")

    def GetCompetition(self, body: dict) -> Any:
        return {"ref": body.get("competitionName"), **({"deadline": self.deadline} if self.deadline else {})}

    def GetSubmissionLimits(self, body: dict) -> Any:
        return {"numAllowedNow": self.allowed, "numToday": self.today}

    def StartSubmissionUpload(self, body: dict) -> Any:
        return self._blob(body["fileName"], body["contentLength"])

    def StartBlobUpload(self, body: dict) -> Any:
        return self._blob(body["name"], body["contentLength"])

    def _blob(self, name: str, length: int) -> dict:
        token = f"blob-{len(self.names)}"
        self.names[token], self.blobs[token] = name, b""
        return {"token": token, "createUrl": self.sign(f"upload/{token}/{length}")}

    def CreateSubmission(self, body: dict) -> Any:
        return self._submit(self.names[body["blobFileTokens"]], body)

    def CreateCodeSubmission(self, body: dict) -> Any:
        return self._submit(body["fileName"], body)

    def _submit(self, name: str, body: dict) -> dict:
        ref = 1000 + len(self.submissions)
        score = self.scores[min(len(self.submissions), len(self.scores) - 1)]
        self.submissions.append(
            {
                "ref": ref,
                "fileName": name,
                "description": body.get("submissionDescription", ""),
                "date": f"2026-11-{1 + len(self.submissions):02}T10:00:00.000Z",
                "score": score,
                "looks": self.pending,
            }
        )
        return {"message": "Successfully submitted", "ref": ref}

    def ListSubmissions(self, body: dict) -> Any:
        return {"submissions": [self._shown(one) for one in reversed(self.submissions)]}

    def GetSubmission(self, body: dict) -> Any:
        one = next(one for one in self.submissions if one["ref"] == body["ref"])
        shown = self._shown(one)
        one["looks"] -= 1
        return shown

    def _shown(self, one: dict) -> dict:
        shown = {key: one[key] for key in ("ref", "fileName", "description", "date")}
        if one["looks"] > 0:
            return shown  # PENDING is the default, and left out
        if one["score"] == "error":
            return shown | {"status": "ERROR", "errorDescription": "Evaluation Exception: ids do not match"}
        late = {"privateScore": "0.90001"} if self.deadline else {}
        return shown | {"status": "COMPLETE", "publicScore": one["score"], **late}

    def GetDatasetStatus(self, body: dict) -> Any:
        found = self.datasets.get(f"{body['ownerSlug']}/{body['datasetSlug']}")
        if found is None:
            return (404, "Dataset not found")
        found["looks"] -= 1
        return {"status": found["final"] if found["looks"] < 0 else "BLOBS_RECEIVED"}

    def CreateDataset(self, body: dict) -> Any:
        return self._dataset(f"{body['ownerSlug']}/{body['slug']}", body["files"], body)

    def CreateDatasetVersion(self, body: dict) -> Any:
        name = f"{body['ownerSlug']}/{body['datasetSlug']}"
        if self.datasets[name]["looks"] > 0:
            return (403, "Permission 'datasets.update' was denied")
        return self._dataset(name, body["body"]["files"], self.datasets[name]["about"])

    def _dataset(self, name: str, files: list[dict], about: dict) -> dict:
        held = {self.names[file["token"]]: self.blobs[file["token"]] for file in files}
        held = {key: value for key, value in held.items() if key not in self.lost}
        versions = self.datasets.get(name, {}).get("versions", 0)
        self.datasets[name] = {
            "files": held,
            "looks": self.processing,
            "final": "READY",
            "versions": versions + 1,
            "about": about,
        }
        return {"ref": name, "url": f"https://www.kaggle.com/datasets/{name}", "status": "Ok"}

    def ListDatasetFiles(self, body: dict) -> Any:
        held = self.datasets[f"{body['ownerSlug']}/{body['datasetSlug']}"]["files"]
        names = sorted(held)
        start = int(body.get("pageToken") or 0)
        shown = names[start : start + 3]  # small pages, so that paging is walked
        more = {"nextPageToken": str(start + 3)} if start + 3 < len(names) else {}
        return {"datasetFiles": [{"name": name, "totalBytes": len(held[name])} for name in shown], **more}

    def SaveKernel(self, body: dict) -> Any:
        if not self.save_kernel.get("error"):
            known = self.kernels.get(body["slug"], {"version": 0})
            self.kernels[body["slug"]] = body | {"version": known["version"] + 1}
        version = self.kernels.get(body["slug"], {}).get("version", 0)
        url = f"https://www.kaggle.com/code/{body['slug']}"
        return {"ref": f"/code/{body['slug']}", "url": url, "versionNumber": version} | self.save_kernel

    def GetKernelSessionStatus(self, body: dict) -> Any:
        if f"{body['userName']}/{body['kernelSlug']}" not in self.kernels:
            return (404, "Kernel not found")
        state = self.kernel_states.pop(0) if len(self.kernel_states) > 1 else self.kernel_states[0]
        return {"status": state} | ({"failureMessage": self.kernel_failure} if self.kernel_failure else {})

    def ListKernelSessionOutput(self, body: dict) -> Any:
        names = sorted(self.outputs)
        start = int(body.get("pageToken") or 0)
        files = [{"url": self.sign(f"output/{name}"), "fileName": name} for name in names[start : start + 4]]
        more = {"nextPageToken": str(start + 4)} if start + 4 < len(names) else {}
        return {"files": files, "log": "".join(self.log_lines), **more}


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closes a connection is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    kaggle: KaggleServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go in two pieces; waiting for an answer costs 40 ms

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urllib.parse.urlsplit(self.path).path
        name = path.rpartition("/")[2]
        asked = json.loads(body or b"{}")
        with self.kaggle.lock:
            self.kaggle.calls.append((name, asked))
            failure = self._next_failure(name)
        if failure and not failure.after:
            self._fail(failure)
            return
        if name != "IntrospectToken" and not self._authorised():
            self._error(401, "Unauthenticated")
            return
        with self.kaggle.lock:
            answer = getattr(self.kaggle, name)(asked)
        if failure:
            self._fail(failure)
        elif isinstance(answer, tuple):
            self._error(*answer)
        elif isinstance(answer, str):
            self._send(302, b"", {"Location": answer})
        else:
            self._json(200, answer)

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        if parts.path.startswith("/api/v1/kernels/logs/stream/"):
            self._stream()
            return
        with self.kaggle.lock:
            self.kaggle.calls.append(("GET storage", dict(self.headers)))
            failure = self._next_failure("GET storage")
        if failure and failure.cut is None:
            self._fail(failure)
            return
        if not self._signed(parts):
            self._send(403, b"<Error><Code>ExpiredToken</Code></Error>", {"Content-Type": "application/xml"})
            return
        name = parts.path.removeprefix("/storage/")
        data = self.kaggle.outputs[name[7:]] if name.startswith("output/") else self.kaggle.archive
        self._send_file(data, failure.cut if failure else None)

    def do_PUT(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urllib.parse.urlsplit(self.path)
        _, _, _, token, total = parts.path.split("/")
        with self.kaggle.lock:
            self.kaggle.calls.append(("PUT storage", dict(self.headers)))
            failure = self._next_failure("PUT storage")
        span = self.headers.get("Content-Range", "")
        data = self.rfile.read(length)
        if failure and failure.cut is not None:  # half of it comes, then the storage gives up
            self.kaggle.blobs[token] += data[: failure.cut]
            self._send(failure.status or 503, b"", {})
            return
        if failure:
            self._fail(failure)
            return
        if not span.startswith("bytes */"):
            start = int(span.removeprefix("bytes ").split("-")[0]) if span else 0
            self.kaggle.blobs[token] = self.kaggle.blobs[token][:start] + data
        held = len(self.kaggle.blobs[token])
        if held == int(total):
            self._send(200, b"", {})
        else:
            self._send(308, b"", {"Range": f"bytes=0-{held - 1}"} if held else {})

    def _authorised(self) -> bool:
        said = self.headers.get("Authorization", "")
        if said.startswith("Bearer "):
            return said[7:] in self.kaggle.tokens
        if said.startswith("Basic "):
            user, _, key = base64.b64decode(said[6:]).decode().partition(":")
            return self.kaggle.users.get(user) == key
        return False

    def _signed(self, parts: urllib.parse.SplitResult) -> bool:
        signature = urllib.parse.parse_qs(parts.query).get("X-Goog-Signature", [""])[0]
        return bool(self.kaggle.signed.get(signature))

    def _next_failure(self, name: str) -> Failure | None:
        waiting = self.kaggle.failures[name]
        return waiting.pop(0) if waiting else None

    def _fail(self, failure: Failure) -> None:
        if failure.silent:
            time.sleep(failure.silent)
            self.close_connection = True
        elif failure.page:
            self._send(200, failure.page.encode(), {"Content-Type": "text/html"})
        else:
            self._error(failure.status, failure.message, failure.headers)

    def _error(self, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"code": code, "message": message}).encode()
        self._send(code, body, {"Content-Type": "application/json", **(headers or {})})

    def _json(self, code: int, answer: Any) -> None:
        self._send(code, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, data: bytes, cut: int | None) -> None:
        span, condition = self.headers.get("Range", ""), self.headers.get("If-Range")
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and condition == self.kaggle.etag else 0
        if start >= len(data) > 0 and start:
            self._send(416, b"", {})
            return
        headers = {"ETag": self.kaggle.etag, "Accept-Ranges": "bytes", "Content-Type": "application/zip"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.send_response(206 if start else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:] if cut is None else data[start : start + cut]
        self.wfile.write(body)
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def _stream(self) -> None:
        with self.kaggle.lock:
            self.kaggle.calls.append(("GET log", {}))
            failure = self._next_failure("GET log")
        if failure and failure.cut is None:
            self._fail(failure)
            return
        if not self._authorised():
            self._error(401, "Unauthenticated")
            return
        lines = self.kaggle.log_lines[: failure.cut] if failure else self.kaggle.log_lines
        events = [json.dumps({"stream_name": "stdout", "time": n, "data": line}) for n, line in enumerate(lines)]
        events += [] if failure else ["END_OF_LOG"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write("".join(f"data: {event}\n\n" for event in events).encode())
        self.close_connection = True
