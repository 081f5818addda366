from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
from pydantic import Field, SecretStr

from chassis.config import Section, Settings, load, read_secret
from chassis.errors import ConfigError, Fault

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "CHASSIS_TEST_"


class Server(Section):
    port: int = Field(default=1, ge=0, le=65535)
    host: str = "localhost"


class Target(Section):
    name: str
    url: str = ""


class Sample(Settings):
    env_prefix: ClassVar[str] = PREFIX

    server: Server = Server()
    targets: tuple[Target, ...] = ()
    secret: SecretStr | None = None
    interval_seconds: float = 10.0


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.yml"
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(Sample, written(folder, text))
    return [str(fault).replace(str(folder), "FOLDER") for fault in caught.value.faults]


KNOWN_AT_TOP = "allowed here: interval_seconds, secret, server, targets"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("server: {prot: 1}", ["server.prot: unknown setting; did you mean port? allowed here: host, port"]),
        ("sever: {}", [f"sever: unknown setting; did you mean server? {KNOWN_AT_TOP}"]),
        ("zzz: 1", [f"zzz: unknown setting; {KNOWN_AT_TOP}"]),
        ("server: {port: x}", ["server.port: Input should be a valid integer, unable to parse string as an integer"]),
        ("server: {port: 70000}", ["server.port: Input should be less than or equal to 65535"]),
        ("targets: [{name: a}, {nmae: b}]", [
            "targets.1.name: Field required",
            "targets.1.nmae: unknown setting; did you mean name? allowed here: name, url",
        ]),
        ("server: {port: x}\ninterval_seconds: soon\nzzz: 1", [
            "server.port: Input should be a valid integer, unable to parse string as an integer",
            'interval_seconds: expected a number of seconds, for example 900; found "soon"',
            f"zzz: unknown setting; {KNOWN_AT_TOP}",
        ]),
        ("- a\n- b", ["FOLDER/settings.yml: expected a mapping with names at the top, found list"]),
        ("1: 2", ["FOLDER/settings.yml: expected a mapping with names at the top, found dict"]),
        ("server:\n  port: 1\n  port: 2", [
            "FOLDER/settings.yml: not YAML: the key port appears twice in line 3, column 3"
        ]),
        ("interval_seconds: 2h", ['interval_seconds: expected a number of seconds, for example 7200; found "2h"']),
        ("server: [", [
            "FOLDER/settings.yml: not YAML: expected the node content, but found '<stream end>' in line 1, column 10"
        ]),
    ],
)  # fmt: skip
def test_bad_file_yields_exactly_its_faults(tmp_path: Path, text: str, faults: list[str]) -> None:
    assert faults == faults_of(tmp_path, text)


def test_bad_yaml_never_quotes_the_file(tmp_path: Path) -> None:
    """A file that cannot be parsed may still hold a password on the very line that cannot be parsed."""
    faults = faults_of(tmp_path, "secret: hunter2-hunter2: [\n")
    assert "hunter2" not in "".join(faults)


def test_file_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "settings.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read: it is not UTF-8 text"):
        load(Sample, path)


def test_missing_file_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(Sample, tmp_path / "none.yml")
    assert caught.value.faults == (Fault(str(tmp_path / "none.yml"), "cannot read: No such file or directory"),)


def test_empty_file_means_defaults(tmp_path: Path) -> None:
    assert load(Sample, written(tmp_path, "")) == Sample()


def test_environment_wins_over_file_and_command_line_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "server: {port: 2, host: file}\ninterval_seconds: 2")
    monkeypatch.setenv(f"{PREFIX}SERVER__PORT", "3")
    monkeypatch.setenv(f"{PREFIX}INTERVAL_SECONDS", "3")
    fallbacks = {"server": {"host": "fallback"}, "secret": "fallback"}
    settings = load(Sample, path, overrides={"server": {"port": 4}}, fallbacks=fallbacks)
    assert (settings.server.port, settings.server.host, settings.interval_seconds) == (4, "file", 3.0)
    assert settings.secret == SecretStr("fallback")


def test_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}TARGETS", '[{"name": "a"}]')
    assert load(Sample, None).targets == (Target(name="a"),)


def test_unknown_variable_is_named_with_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}INTERVAL_SECOND", "3")
    with pytest.raises(ConfigError) as caught:
        load(Sample, None)
    assert str(caught.value) == (
        f"{PREFIX}INTERVAL_SECOND: unknown setting; did you mean interval_seconds? {KNOWN_AT_TOP}"
    )


def test_bad_variables_and_bad_file_are_reported_together_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}SERVER__PROT", "3")
    monkeypatch.setenv(f"{PREFIX}SERVER__PORT", "x")
    monkeypatch.setenv(f"{PREFIX}NOTHING", "x")
    paths = [fault.partition(":")[0] for fault in faults_of(tmp_path, "interval_seconds: x")]
    expected = {f"{PREFIX}SERVER__PROT", f"{PREFIX}SERVER__PORT", f"{PREFIX}NOTHING", "interval_seconds"}
    assert (set(paths), len(paths)) == (expected, len(expected))


def test_variable_that_is_no_json_is_a_fault_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}TARGETS", "[no json")
    faults = faults_of(tmp_path, "interval_seconds: x")
    assert [fault.partition(":")[0] for fault in faults] == ["environment", "interval_seconds"]
    assert '"targets"' in faults[0]
    assert "no json" not in faults[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT", "80"),
        ("SERVICE_PORT_HTTP", "80"),
        ("PORT", "tcp://10.0.0.1:80"),
        ("PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("PORT_80_TCP_ADDR", "10.0.0.1"),
        ("METRICS_SERVICE_HOST", "10.0.0.1"),
        ("METRICS_PORT", "tcp://10.0.0.1:80"),
    ],
)
def test_service_link_of_kubernetes_is_no_unknown_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A Service of our own name puts variables with our prefix into every pod of the namespace."""
    monkeypatch.setenv(f"{PREFIX}{name}", value)
    assert load(Sample, None) == Sample()


def test_port_given_by_an_operator_is_no_service_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}PORT", "9877")
    with pytest.raises(ConfigError):
        load(Sample, None)


def test_settings_cannot_be_changed() -> None:
    settings = load(Sample, None)
    with pytest.raises(ValueError, match="frozen"):
        settings.interval_seconds = 1.0
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 2


def test_rendered_settings_hide_the_secret(tmp_path: Path) -> None:
    settings = load(Sample, written(tmp_path, "secret: hunter2"))
    rendered = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "hunter2" not in rendered
    assert settings.secret is not None
    assert settings.secret.get_secret_value() == "hunter2"


def test_secret_file_loses_its_newline(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("hunter2\n", encoding="utf-8")
    assert read_secret(path, "database.password_file").get_secret_value() == "hunter2"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_unusable_secret_file_names_the_setting(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_secret(path, "database.password_file")
    assert caught.value.faults[0].path == "database.password_file"


def test_variable_with_one_underscore_is_answered_with_its_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHASSIS_TEST_SERVER_PORT", "9877")
    monkeypatch.setenv("CHASSIS_TEST_SERVER_NAME", "x")
    with pytest.raises(ConfigError) as caught:
        load(Sample, None)
    wrong, meant = caught.value.faults
    assert wrong.message.startswith("unknown setting; ")
    assert str(meant) == (
        "CHASSIS_TEST_SERVER_PORT: two underscores between section and name: CHASSIS_TEST_SERVER__PORT"
    )


def test_name_of_a_file_in_other_case_is_unknown_and_the_right_one_is_named(tmp_path: Path) -> None:
    """It was accepted at the top alone, and a variable of the same section then counted for nothing."""
    (tmp_path / "config.yaml").write_text("Server: {port: 5}")

    with pytest.raises(ConfigError, match="did you mean server"):
        load(Sample, tmp_path / "config.yaml")
