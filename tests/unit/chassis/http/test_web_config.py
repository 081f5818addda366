from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import pytest

from chassis.errors import ConfigError
from chassis.http.web_config import read_web
from tools.servers.kubernetes.certificates import KeyPair, make_serving_pair

HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return make_serving_pair(tmp_path_factory.mktemp("pair"), "server")


def faults(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_web(path)
    return [str(fault).removeprefix(f"{path}: ") for fault in caught.value.faults]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "web.yml"


def test_empty_file_asks_for_nothing(file: Path) -> None:
    file.write_text("")
    web = read_web(file)
    assert (web.tls, web.config.basic_auth_users, web.files) == (None, {}, (file,))


def test_every_field_of_the_format_is_read(file: Path, pair: KeyPair) -> None:
    file.write_text(f"""
        tls_server_config:
          cert_file: {pair.certificate_path}
          key_file: {pair.key_path}
          client_auth_type: RequireAndVerifyClientCert
          client_ca_file: {pair.certificate_path}
          client_allowed_sans: [localhost]
          min_version: TLS12
          max_version: TLS13
          cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
          prefer_server_cipher_suites: true
          curve_preferences: [CurveP256]
        http_server_config: {{http2: true, headers: {{X-Frame-Options: deny}}}}
        basic_auth_users: {{alice: {HASH}}}
        rate_limit: {{interval: 1s, burst: 20}}
    """)
    web = read_web(file)
    assert web.tls is not None
    assert (web.tls.verify_mode, web.tls.minimum_version) == (ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2)
    assert web.config.rate_limit.interval_seconds == 1
    assert len(web.files) == 4


def test_paths_begin_at_the_files_folder_and_pairs_may_stand_inline(
    file: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder to write to, as in a container whose root is read-only."""
    monkeypatch.setattr(tempfile, "tempdir", str(file.parent / "nowhere"))
    (file.parent / "a.crt").write_bytes(pair.certificate_path.read_bytes())
    key = "\n".join(f"    {line}" for line in pair.key_path.read_text().splitlines())
    file.write_text(f"tls_server_config:\n  cert_file: a.crt\n  key: |\n{key}\n")
    assert read_web(file).tls is not None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tls_config: {}", "tls_config: unknown setting; did you mean tls_server_config?"),
        ("tls_server_config: {cert_fiel: x}", "tls_server_config.cert_fiel: unknown setting; did you mean cert_file?"),
        ("tls_server_config: {key_file: /b}", "tls_server_config: exactly one of cert and cert_file is needed"),
        ("tls_server_config: {cert_file: /a, key_file: /b}", "tls_server_config: cannot be used"),
        (
            "tls_server_config: {cert_file: /a, key_file: /b, client_ca_file: /c}",
            "tls_server_config: client_ca_file needs",
        ),
        (
            "tls_server_config: {cert_file: /a, key_file: /b, client_auth_type: RequireAnyClientCert}",
            "tls_server_config.client_auth_type: an unverified client certificate",
        ),
        ("tls_server_config: {cert_file: /a, key_file: /b, cipher_suites: [RC4]}", "tls_server_config: unknown cipher"),
        ("tls_server_config: {cert_file: /a, key_file: /b, min_version: SSL3}", "tls_server_config.min_version: "),
        ("basic_auth_users: {alice: secret}", "basic_auth_users: the value of user alice is not a bcrypt hash"),
        ("http_server_config: {headers: {Server: x}}", "http_server_config.headers: header Server cannot be set"),
        ("http_server_config: {headers: {X-Frame-Options: all}}", "http_server_config.headers: X-Frame-Options is"),
        ("rate_limit: {interval: soon, burst: 1}", "rate_limit: interval must be a duration"),
        ("rate_limit: {interval: 1s2, burst: 1}", "rate_limit: interval must be a duration"),
        ("rate_limit: {interval: true, burst: 1}", "rate_limit.interval: "),
        ("rate_limit: {interval: 1s}", "rate_limit: burst must be at least 1"),
    ],
)
def test_fault_names_its_field_and_shows_no_secret(file: Path, text: str, fault: str) -> None:
    found = faults(file, text)
    assert [item.startswith(fault) for item in found] == [True], found
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("http_server_config: {headers: {X-XSS-Protection: 0}}", {"X-XSS-Protection": "0"}),
        ("http_server_config: {headers: {X-XSS-Protection: true}}", {"X-XSS-Protection": "true"}),
        ("http_server_config: {headers: {X-Frame-Options: ''}}", {"X-Frame-Options": ""}),
        ("http_server_config: {headers: }", {}),
        ("http_server_config:\nbasic_auth_users:\nrate_limit:\ntls_server_config:\n", {}),
        ("tls_server_config: {}", {}),
    ],
)
def test_file_that_go_accepts_is_accepted(file: Path, text: str, headers: dict[str, str]) -> None:
    """X15: exporter-toolkit reads YAML as Go does: bare scalars are text, and empty sections count as absent."""
    file.write_text(text)
    web = read_web(file)
    assert (web.tls, web.config.http_server_config.headers) == (None, headers)


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("0", 0.0), ("0s", 0.0), ("1500ms", 1.5), ("1m30s", 90.0), (".5s", 0.5), ("2000000000", 2.0), ("250us", 0.00025)],
)
def test_interval_is_read_as_go_reads_it(file: Path, interval: str, seconds: float) -> None:
    """X15: `interval: 0`, and a bare number of nanoseconds."""
    file.write_text(f"rate_limit: {{interval: {interval}, burst: 1}}")
    assert read_web(file).config.rate_limit.interval_seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("VerifyClientCertIfGiven", ssl.CERT_OPTIONAL),
        ("RequireAndVerifyClientCert", ssl.CERT_REQUIRED),
        ("RequestClientCert", ssl.CERT_NONE),
    ],
)
def test_clients_are_verified_against_the_systems_authorities_without_own_ones(
    file: Path, pair: KeyPair, kind: str, mode: ssl.VerifyMode
) -> None:
    """X15: Go verifies against the system's pool when no client_ca_file is given."""
    file.write_text(
        f"tls_server_config: {{cert_file: {pair.certificate_path}, key_file: {pair.key_path}, client_auth_type: {kind},"
        " client_ca_file: ''}"
    )
    tls = read_web(file).tls
    assert tls is not None
    assert tls.verify_mode is mode


def test_authority_beside_a_certificate_that_is_only_asked_for_is_accepted(file: Path, pair: KeyPair) -> None:
    """X15: Go accepts it, and verifies nothing."""
    file.write_text(
        f"tls_server_config: {{cert_file: {pair.certificate_path}, key_file: {pair.key_path},"
        f" client_auth_type: RequestClientCert, client_ca_file: {pair.certificate_path}}}"
    )
    tls = read_web(file).tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_NONE


def test_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_web(tmp_path / "nowhere.yml")
