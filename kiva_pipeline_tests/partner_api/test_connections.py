"""Proxy, certificates and the environment: only what the settings say."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from kiva_pipeline.errors import SettingsError
from kiva_pipeline.partner_api.errors import ApiUnreachableError
from kiva_pipeline.partner_api.exchange import Answered, NotSent, PostKind
from kiva_pipeline_tests.partner_api.conftest import Client
from kiva_pipeline_tests.partner_api.servers import HttpServer, Reply, closed_port

NOWHERE = "http://127.0.0.1:1"


def test_requests_go_through_the_proxy_of_the_settings(kiva: HttpServer, client: Client) -> None:
    unreachable = f"http://127.0.0.1:{closed_port()}"
    api = client(unreachable, auth_url=f"{unreachable}/oauth/token", proxy=kiva.url)
    # A proxy is asked for whole addresses; this one answers them itself.
    assert api.post(PostKind.REPAYMENT, b"{}", "a1") == Answered(200, {})
    assert kiva.asked[0].target == f"{unreachable}/v3/partner/145/repayments"
    assert kiva.tokens[0].target == f"{unreachable}/oauth/token"


def test_a_proxy_that_is_not_there_means_not_sent(kiva: HttpServer, client: Client) -> None:
    api = client(proxy=f"http://127.0.0.1:{closed_port()}", tries=1)
    with pytest.raises(ApiUnreachableError):
        api.post(PostKind.REPAYMENT, b"{}", "a1")
    assert kiva.tokens == []


def test_a_proxy_in_the_shell_is_ignored(
    kiva: HttpServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert client().post(PostKind.REPAYMENT, b"{}", "a1") == Answered(200, {})


def test_a_password_file_of_the_shell_is_ignored(
    kiva: HttpServer, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client().check_grant([])
    assert "Authorization" not in kiva.tokens[0].headers


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_bundle_that_is_none_is_a_settings_error_that_names_it(
    client: Client, tmp_path: Path, content: bytes | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(SettingsError, match=r"api\.ca_bundle: .*bundle\.pem"):
        client(ca_bundle=bundle)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that vouches for itself, and its key."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
            "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, key


def test_certificates_are_verified_against_the_bundle_of_the_settings(
    kiva: HttpServer, client: Client, certificate: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with HttpServer(lambda _asked: Reply({"ok": 1}), tls=context) as secure:
        trusting = client(secure.url, ca_bundle=certificate[0])
        assert trusting.post(PostKind.REPAYMENT, b"{}", "a1") == Answered(200, {"ok": 1})
        doubting = client(secure.url)
        assert doubting.post(PostKind.REPAYMENT, b"{}", "a2") == NotSent("ConnectError")
        with pytest.raises(ApiUnreachableError):
            client(auth_url=f"{secure.url}/oauth/token", tries=1).check_grant([])
    assert len(secure.asked) == 1
    assert secure.tokens == []
