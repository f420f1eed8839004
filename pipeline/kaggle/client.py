"""Calls to Kaggle over kagglesdk: timeouts, retries that wait as long as they are told to, one message a failure.

`import kaggle` is never needed: it prints, exits and hangs. kagglesdk is the transport below it and has no
side effects of its own.
"""

import email.utils
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import requests
from requests.adapters import HTTPAdapter

from pipeline.errors import PipelineError, RequestError, WorkFailed
from pipeline.kaggle.credentials import TOKEN, Credentials, find_credentials
from pipeline.log import Log

T = TypeVar("T")
P = TypeVar("P", bound="Page")

CONNECT, READ = 10.0, 60.0  # seconds
ATTEMPTS = 5
LONGEST = 120.0  # seconds that a Retry-After may ask for; more is a message, not a wait
LATER = (429, 500, 502, 503, 504)
WEB = "https://www.kaggle.com"


class Refused(WorkFailed):
    """Kaggle answered with an error; `status` is its number."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NotThere(RequestError):
    """Kaggle knows nothing of that name (404)."""


class Unsure(WorkFailed):
    """A call that must not be made twice failed on the way back: it may have been carried out."""


class Page(Protocol):
    """One answer of a listing."""

    @property
    def next_page_token(self) -> str:
        """What to ask for the next with; empty on the last."""
        ...


class Kaggle:
    """One account's connection. `sleep` and `clock` are there for tests."""

    def __init__(
        self,
        log: Log,
        credentials: Credentials | None = None,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.log, self.sleep, self.clock = log, sleep or _sleep, clock
        self.credentials = credentials or find_credentials()
        self.storage = _session()  # for signed URLs: they carry their own permission, and must not get ours
        self._client: Any = None
        self._username = self.credentials.username

    @property
    def client(self) -> Any:
        """kagglesdk's client, with timeouts."""
        if self._client is None:
            self._client = self._log_in()
        return self._client

    @property
    def username(self) -> str:
        """The account's name, asked for where only a token is known. Raises WorkFailed for a stale token."""
        if not self._username:
            from kagglesdk.security.types.oauth_service import IntrospectTokenRequest

            request = IntrospectTokenRequest()
            request.token = self.client.api_token
            said = self.call(self.client.security.oauth_client.introspect_token, request, "asking who you are")
            if not said.active or not said.username:
                raise WorkFailed(self._stale("says that the token is not active"))
            self._username = said.username
        return self._username

    def call(
        self,
        rpc: Callable[[Any], T],
        request: Any,
        doing: str,
        competition: str | None = None,
        repeat: bool = True,
    ) -> T:
        """One call, tried again while that can help. `doing` is what messages call it; `competition` is whose
        rules a 403 is about; `repeat=False` for a call that must not be carried out twice: where it is not known
        whether it was, it raises Unsure. Raises WorkFailed and RequestError with one line.
        """
        return self.persist(lambda: rpc(request), doing, competition, repeat)

    def pages(self, rpc: Callable[[Any], P], request: Any, doing: str) -> Iterator[P]:
        """Every page of a listing, a call each."""
        request.page_token = ""
        while True:
            said = self.call(rpc, request, doing)
            yield said
            if not said.next_page_token:
                return
            request.page_token = said.next_page_token

    def persist(self, attempt: Callable[[], T], doing: str, competition: str | None = None, repeat: bool = True) -> T:
        """`call` for anything that raises what requests raises."""
        for number in range(ATTEMPTS):
            try:
                return attempt()
            except requests.RequestException as error:
                if not repeat and _may_have_worked(error):
                    raise Unsure(self._explain(error, doing, competition)) from None
                pause = self._pause(error, number)
                if pause is None:
                    raise self._error(error, doing, competition) from None
                self.log.say(f"kaggle: {doing}: {_why(error)}; again in {pause:.0f} s")
            except (ValueError, KeyError, TypeError) as error:  # what kagglesdk makes of a page that is not JSON
                raise WorkFailed(
                    f"{doing}: what answered is not Kaggle's API ({type(error).__name__}); "
                    "is a proxy or a login page in between?"
                ) from None
            self.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def clean(self, text: str) -> str:
        """`text` without our secrets, in one line, and not a whole page."""
        return " ".join(self.hide(text).split())[:300]

    def hide(self, text: str) -> str:
        """`text` without our secrets."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return text

    def _secrets(self) -> tuple[str, ...]:
        renewed = getattr(self._client, "api_token", None)  # of a login by browser
        return (*self.credentials.secrets, *([renewed] if renewed else []))

    def _log_in(self) -> Any:
        from kagglesdk import KaggleClient

        held = self.credentials
        token = self._renewed(held) if held.oauth else held.token
        known = {"username": held.username, "password": held.key, "api_token": token}
        given: dict[str, Any] = {name: value for name, value in known.items() if value}
        return _with_timeouts(KaggleClient(**given, user_agent="pipeline"))

    def _renewed(self, held: Credentials) -> str:
        from kagglesdk import KaggleClient
        from kagglesdk.kaggle_creds import KaggleCredentials

        # Without a token of any sort kagglesdk would look for one itself; a blank one keeps it from that.
        anonymous = _with_timeouts(KaggleClient(api_token=" ", user_agent="pipeline"))
        kept = KaggleCredentials.load(anonymous, str(held.oauth))
        if kept is None:
            raise WorkFailed(f"{held.oauth} holds no login; run `kaggle auth login` again")
        token = self.persist(kept.get_access_token, "renewing the login")
        self._username = kept.get_username() or ""
        return token

    def _pause(self, error: requests.RequestException, number: int) -> float | None:
        """Seconds until the next attempt; None where another would not help."""
        if number == ATTEMPTS - 1 or not _may_pass(error):
            return None
        asked = _retry_after(error.response, self.clock())
        if asked is None:
            return float(2**number)
        return asked if asked <= LONGEST else None

    def _error(self, error: requests.RequestException, doing: str, competition: str | None) -> PipelineError:
        message = self._explain(error, doing, competition)
        if error.response is None:
            return WorkFailed(message)
        code = error.response.status_code
        return NotThere(message) if code == 404 else Refused(message, code)

    def _explain(self, error: requests.RequestException, doing: str, competition: str | None) -> str:
        """What happened and what to do, in one line without addresses that hold signatures."""
        response = error.response
        if response is None:
            return f"{doing}: {_why(error)} ({ATTEMPTS} attempts); look at the network, then run the same again"
        code, said = response.status_code, self.clean(_message(response))
        if code == 401:
            return self._stale(f"refused them while {doing} (401)")
        what = f"{doing}: Kaggle answered {code} ({said})"
        if code == 403 and competition:
            what += f"; join the competition and accept its rules at {WEB}/competitions/{competition}/rules, then "
            what += "run the same again"
        elif code == 404:
            name = f"is {competition!r} the competition's name as in its address?" if competition else ""
            what += f"; {name or 'it knows nothing of that name'}"
        elif code in LATER:
            asked = _retry_after(response, self.clock())
            wait = f" and asks to wait {asked / 60:.0f} min" if asked else ""
            what += f"{wait}; run the same again later"
        return what

    def _stale(self, what: str) -> str:
        """Which credentials are wrong, and which ones they hide."""
        held = self.credentials
        hint = "create new ones at https://www.kaggle.com/settings (API)"
        if held.later:
            drop = "unset it" if held.source == TOKEN else f"remove {held.source}"
            hint = f"they come before {held.later[0]}: {drop} to use that, or {hint}"
        return f"Kaggle credentials from {held.source}: Kaggle {what}; they are wrong or expired; {hint}"


class _Timeouts(HTTPAdapter):
    """No request waits for ever: kagglesdk itself sets no timeout."""

    def send(self, request: Any, **options: Any) -> requests.Response:
        options["timeout"] = options.get("timeout") or (CONNECT, READ)
        return super().send(request, **options)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _session() -> requests.Session:
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Timeouts())
    session.headers["Accept-Encoding"] = "identity"  # a file's length is that of its bytes
    return session


def _with_timeouts(client: Any) -> Any:
    http = client.http_client()
    http.__enter__()  # makes the session
    for scheme in ("https://", "http://"):
        http._session.mount(scheme, _Timeouts())
    http._session.headers["Accept-Encoding"] = "identity"
    return client


def _may_pass(error: requests.RequestException) -> bool:
    if error.response is not None:
        return error.response.status_code in LATER
    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, broken) and not isinstance(error, requests.exceptions.SSLError)


def _may_have_worked(error: requests.RequestException) -> bool:
    """Whether the request can have reached Kaggle: everything but a refusal, or a connection never made."""
    if error.response is not None:
        return error.response.status_code in LATER and error.response.status_code != 429
    if isinstance(error, requests.ConnectTimeout):
        return False
    return not (isinstance(error, requests.ConnectionError) and "NewConnectionError" in repr(error))


def _why(error: requests.RequestException) -> str:
    """The kind of failure; never the text of the exception, which holds addresses and their signatures."""
    if error.response is not None:
        return f"Kaggle answered {error.response.status_code}"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the server is not accepted"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refused"
    if isinstance(error, requests.ConnectionError):
        refused = "NewConnectionError" in repr(error) or "NameResolution" in repr(error)
        return "Kaggle cannot be reached" if refused else "the connection broke"
    return f"the answer cannot be read ({type(error).__name__})"


def _message(response: requests.Response) -> str:
    try:
        said = json.loads(response.text)
        return str(said.get("message") or said.get("error") or "no reason given")
    except (ValueError, AttributeError, requests.RequestException):
        return response.reason or "no reason given"


def _retry_after(response: requests.Response | None, now: float) -> float | None:
    """Seconds that a server asks to wait, by number or date."""
    said = response.headers.get("Retry-After", "").strip() if response is not None else ""
    if not said:
        return None
    if said.isdigit():
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - now)
    except ValueError:
        return None
