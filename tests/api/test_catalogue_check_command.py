"""``octostream catalogue check`` before the stand-in ICAT, and before what is none."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from octostream.api.cli import app
from octostream.sinks.catalogue.settings import PASSWORD_VARIABLE, USERNAME_VARIABLE
from octostream.stream.errors import UsageError
from octostream.tests.icat_server.seed import FACILITY, PASSWORDS
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def account(monkeypatch):
    monkeypatch.setenv(USERNAME_VARIABLE, "ingester")
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORDS["ingester"])


@pytest.fixture
def check(tmp_path):
    def run(url, *arguments, **more):
        settings = {"url": url, "facility": FACILITY, "authenticator": "simple", "timeout_s": 5, **more}
        file = tmp_path / "octostream.toml"
        file.write_text("[catalogue]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
        return CliRunner().invoke(
            app, ["catalogue", "check", "--data", str(tmp_path / "data"), "--config", str(file), *arguments]
        )

    return run


def test_a_facility_is_made_ready(check, icat_server):
    before = check(icat_server.url)
    assert before.exit_code == 1
    assert "missing    ParameterType 'z_step', 'um'  --create makes it" in before.stdout
    made = check(icat_server.url, "--create", "--json")
    told = json.loads(made.stdout)
    assert (made.exit_code, told["good"]) == (0, True)
    assert {"what": "ParameterType 'z_step', 'um'", "state": "created", "detail": ""} in told["findings"]
    after = check(icat_server.url)
    assert (after.exit_code, after.stdout.splitlines()[-1]) == (0, "runs can be registered")
    assert PASSWORDS["ingester"] not in before.stdout + made.stdout + after.stdout


def test_a_wrong_password_is_one_line(check, icat_server, monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "not-this-one")
    error = str(check(icat_server.url).exception)
    assert "does not let in 'ingester' by 'simple': The username and password do not match" in error
    assert "not-this-one" not in error
    assert "mnemonic nope not recognised" in str(check(icat_server.url, authenticator="nope").exception)


def test_an_address_where_nobody_listens_is_one_line(check, icat_server):
    icat_server.refuse()
    error = str(check(icat_server.url).exception)
    assert f"ICAT at {icat_server.url} cannot be reached: " in error
    assert "Connection refused" in error
    assert "\n" not in error


def test_a_server_that_is_down_behind_its_proxy_is_one_line(check, icat_server):
    icat_server.misbehaviour.order("502", times=1)
    assert "does not answer: HTTP status 502" in str(check(icat_server.url).exception)
    icat_server.misbehaviour.order("502", times=1, operations=["search"])
    assert "502" in str(check(icat_server.url).exception)


def test_something_else_at_the_address_is_one_line(check):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.page)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        for page in (b"<html><body>hello</body></html>", b"<p>hello", b"{}"):
            server.page = page
            assert "is no ICAT" in str(check(f"http://127.0.0.1:{server.server_port}").exception)
        server.shutdown()


def test_an_address_without_icat_is_one_line(check, icat_server):
    assert "there is no ICAT" in str(check(icat_server.url + "/elsewhere/ICAT?wsdl").exception)


def test_without_a_catalogue_there_is_nothing_to_check(tmp_path):
    result = CliRunner().invoke(app, ["catalogue", "check", "--data", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
