"""The client against a local Kaggle: whose credentials, what is tried again, what a failure says, no secret shown."""

import email.utils
import json

import pytest

from pipeline.errors import PipelineError, RequestError, WorkFailed
from pipeline.kaggle import client as clients
from pipeline.kaggle.client import ATTEMPTS, Kaggle
from pipeline.kaggle.competition import submissions_left
from pipeline.kaggle.credentials import NoCredentials, find_credentials
from tests.kaggle_server import KEY, TOKEN, USER

# Whose credentials


def write(path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_the_order_is_that_of_kaggles_own_client(tmp_path):
    home = tmp_path / "home"
    env = {"HOME": str(home)}
    with pytest.raises(NoCredentials, match=r"create a token at https://www.kaggle.com/settings"):
        find_credentials(env)
    write(home / ".kaggle/credentials.json", {"refresh_token": "r"})
    assert find_credentials(env).source.endswith("credentials.json")
    write(home / ".config/kaggle/kaggle.json", {"username": "c", "key": "k3"})
    assert find_credentials(env).username == "c"
    write(home / ".kaggle/kaggle.json", {"username": "b", "key": "k2"})
    assert find_credentials(env).username == "b"
    env["KAGGLE_CONFIG_DIR"] = str(tmp_path / "own")
    write(tmp_path / "own/kaggle.json", {"username": "a", "key": "k1"})
    assert find_credentials(env).username == "a"
    env |= {"KAGGLE_USERNAME": "env", "KAGGLE_KEY": "k0"}
    assert find_credentials(env).username == "env"
    write(home / ".kaggle/access_token", "  from-a-file\n")
    assert find_credentials(env).token == "from-a-file"
    env["KAGGLE_API_TOKEN"] = "from-the-variable"
    found = find_credentials(env)
    assert (found.source, found.token) == ("KAGGLE_API_TOKEN", "from-the-variable")
    assert len(found.later) == 6
    write(tmp_path / "token.txt", "from-a-named-file\n")
    env["KAGGLE_API_TOKEN"] = str(tmp_path / "token.txt")
    assert find_credentials(env).token == "from-a-named-file"
    assert "from-a" not in repr(find_credentials(env))
    assert "k0" not in repr(find_credentials(env))


@pytest.mark.parametrize("content", ["{", "[]", '{"username": "a"}'])
def test_a_file_without_credentials_is_named(tmp_path, content):
    write(tmp_path / ".kaggle/kaggle.json", content)
    with pytest.raises(WorkFailed, match=r"kaggle.json does not hold a username and a key; download it again"):
        find_credentials({"HOME": str(tmp_path)})


def test_an_empty_token_file_is_named(tmp_path):
    write(tmp_path / "t", " \n")
    with pytest.raises(WorkFailed, match=r"KAGGLE_API_TOKEN names the file .*, which is empty"):
        find_credentials({"HOME": str(tmp_path), "KAGGLE_API_TOKEN": str(tmp_path / "t")})


# Who is asked


def test_a_token_is_asked_for_its_name_once(kaggle, server):
    assert (kaggle.username, kaggle.username) == (USER, USER)
    assert server.count("IntrospectToken") == 1


def test_a_user_name_and_a_key_work_too(kaggle_of, server, monkeypatch):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_USERNAME", USER)
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    kaggle = kaggle_of()
    assert kaggle.username == USER
    assert submissions_left(kaggle, "tiny-comp") == (5, 0)
    assert server.count("IntrospectToken") == 0


def test_a_login_by_browser_works_and_is_renewed(kaggle_of, server, monkeypatch, tmp_path):
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    later = "2999-01-01T00:00:00+00:00"
    held = {"refresh_token": "r", "access_token": TOKEN, "access_token_expiration": later, "username": USER}
    write(tmp_path / "home/.kaggle/credentials.json", held)
    kaggle = kaggle_of()
    assert submissions_left(kaggle, "tiny-comp") == (5, 0)
    assert kaggle.username == USER
    assert kaggle.clean(f"x {TOKEN}") == "x ***"


def test_a_token_that_is_no_longer_active_is_named(kaggle_of, server, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "stale-token")
    with pytest.raises(WorkFailed, match=r"credentials from KAGGLE_API_TOKEN: .*not active.*settings"):
        _ = kaggle_of().username


# What is tried again, and what a failure says


def test_a_stale_token_names_what_it_hides(kaggle_of, server, monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "stale-token-0000")
    write(tmp_path / "home/.kaggle/kaggle.json", {"username": USER, "key": KEY})
    with pytest.raises(WorkFailed) as caught:
        submissions_left(kaggle_of(), "tiny-comp")
    message = str(caught.value)
    for words in ("KAGGLE_API_TOKEN", "401", "kaggle.json", "unset it"):
        assert words in message
    assert "stale-token-0000" not in message
    assert server.count("GetSubmissionLimits") == 1  # a refusal is not tried again


def test_rules_that_were_not_accepted_are_linked(kaggle, server):
    server.fail("GetSubmissionLimits", status=403, message="Permission 'competitions.get' was denied")
    with pytest.raises(WorkFailed, match=r"https://www.kaggle.com/competitions/tiny-comp/rules"):
        submissions_left(kaggle, "tiny-comp")


def test_an_unknown_name_is_a_wrong_request(kaggle, server):
    server.fail("GetSubmissionLimits", status=404, message="Not found")
    with pytest.raises(RequestError, match=r"404 \(Not found\); is 'tiny-comp' the competition's name"):
        submissions_left(kaggle, "tiny-comp")


def test_too_many_requests_wait_as_long_as_they_are_told(kaggle, server, slept):
    server.fail("GetSubmissionLimits", status=429, headers={"Retry-After": "17"})
    assert submissions_left(kaggle, "tiny-comp") == (5, 0)
    assert slept == [17]


def test_a_date_to_wait_for_is_understood(kaggle, server, slept):
    kaggle.clock = lambda: 1_800_000_000.0
    when = email.utils.formatdate(1_800_000_042, usegmt=True)
    server.fail("GetSubmissionLimits", status=429, headers={"Retry-After": when})
    assert submissions_left(kaggle, "tiny-comp") == (5, 0)
    assert slept == [42]


def test_an_hour_is_not_waited_for(kaggle, server, slept):
    server.fail("GetSubmissionLimits", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(WorkFailed, match=r"429 .* asks to wait 60 min; run the same again later"):
        submissions_left(kaggle, "tiny-comp")
    assert slept == []


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_out_of_order_is_asked_again_with_growing_pauses(kaggle, server, slept, log, status):
    server.fail("GetSubmissionLimits", times=3, status=status)
    assert submissions_left(kaggle, "tiny-comp") == (5, 0)
    assert slept == [1, 2, 4]
    assert log.lines[0] == f"kaggle: asking for submissions left: Kaggle answered {status}; again in 1 s"


def test_a_server_that_stays_out_of_order_is_given_up(kaggle, server):
    server.fail("GetSubmissionLimits", times=ATTEMPTS, status=500, message="Boom")
    with pytest.raises(WorkFailed, match=r"Kaggle answered 500 \(Boom\); run the same again later"):
        submissions_left(kaggle, "tiny-comp")
    assert server.count("GetSubmissionLimits") == ATTEMPTS


def test_nobody_listening_is_said(kaggle, server, slept):
    server.stop()
    with pytest.raises(WorkFailed, match=r"Kaggle cannot be reached \(5 attempts\); look at the network"):
        submissions_left(kaggle, "tiny-comp")
    assert len(slept) == ATTEMPTS - 1


def test_a_silent_server_times_out(kaggle, server, monkeypatch):
    monkeypatch.setattr(clients, "READ", 0.05)
    server.fail("GetSubmissionLimits", silent=0.5)
    assert submissions_left(kaggle, "tiny-comp") == (5, 0)
    server.fail("GetSubmissionLimits", times=ATTEMPTS, silent=0.5)
    with pytest.raises(WorkFailed, match="no answer in time"):
        submissions_left(kaggle, "tiny-comp")


def test_a_page_that_is_not_kaggles_is_said(kaggle, server):
    server.fail("GetSubmissionLimits", page="<html>Please log in</html>")
    with pytest.raises(WorkFailed, match=r"what answered is not Kaggle's API .*proxy or a login page"):
        submissions_left(kaggle, "tiny-comp")


def test_a_message_that_repeats_the_token_is_cleaned(kaggle, server):
    server.fail("GetSubmissionLimits", status=400, message=f"bad token {TOKEN}\nand a second line")
    with pytest.raises(PipelineError) as caught:
        submissions_left(kaggle, "tiny-comp")
    assert str(caught.value) == "asking for submissions left: Kaggle answered 400 (bad token *** and a second line)"


def test_the_password_never_travels_to_the_storage(kaggle, server, tmp_path):
    from pipeline.kaggle.transfer import upload

    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 10)
    place = server.StartBlobUpload({"name": "a.bin", "contentLength": 10})
    upload(kaggle, path, place["createUrl"], "sending a.bin")
    assert server.blobs[place["token"]] == b"x" * 10
    assert all("Authorization" not in headers for headers in server.said("PUT storage"))


def test_importing_the_client_asks_nothing_and_prints_nothing(tmp_path):
    import subprocess
    import sys

    code = "import sys; import pipeline.kaggle.client, pipeline.kaggle.competition; print('kaggle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_kaggle_stays_unused_where_there_are_no_credentials(monkeypatch, log, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KAGGLE_API_TOKEN", raising=False)
    with pytest.raises(NoCredentials):
        Kaggle(log)
