from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.process.completion import SHELLS
from exporter.__main__ import main, overrides, parser
from tests.fakes.collector import ScriptedCollector
from tests.fakes.waiting import wait_for
from tools.servers.http import is_answered

SPECS = (ScriptedCollector([]).spec("lamp"), ScriptedCollector([]).spec("door", doc="Costs 5 % of a core."))


def chosen(*arguments: str) -> dict[str, object]:
    return overrides(parser(SPECS).parse_args(arguments))


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "CONTROLCORE_API_URL"):
        monkeypatch.delenv(name, raising=False)


def test_no_argument_overrides_nothing() -> None:
    assert chosen() == {}


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("127.0.0.1:9000", {"host": "127.0.0.1", "port": 9000}),
        (":9000", {"port": 9000}),
        ("[::1]:9000", {"host": "::1", "port": 9000}),
    ],
)
def test_listen_address_is_read(text: str, server: dict[str, object]) -> None:
    assert chosen("--web.listen-address", text) == {"server": server}


@pytest.mark.parametrize("text", ["9000", "host:", "host:http", "host:70000"])
def test_listen_address_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        chosen("--web.listen-address", text)
    assert "is not HOST:PORT" in capsys.readouterr().err


def test_each_collector_has_a_switch() -> None:
    assert chosen("--no-collector.lamp", "--collector.door") == {
        "collectors": {"lamp": {"enabled": False}, "door": {"enabled": True}}
    }


def test_log_flags_are_settings() -> None:
    assert chosen("--log.level", "debug", "--log.form", "json") == {"log": {"level": "debug", "form": "json"}}
    assert chosen("--log.level", "warn", "--log.format", "json") == {"log": {"level": "warning", "form": "json"}}


def test_help_names_every_collector() -> None:
    text = parser(SPECS).format_help()
    assert ("--collector.door" in text, "Costs 5 % of a core." in text) == (True, True)


def test_good_configuration_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("api: {url: 'http://api:8000'}\n")
    assert main(["--config.file", str(file), "--config.check"]) == 0
    assert capsys.readouterr().out == f"{file} is valid\n"


def test_check_without_a_file_says_that_none_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config.check"]) == 0
    printed = capsys.readouterr()
    assert "without a file" in printed.out
    assert printed.err.startswith("warning: nothing is watched: set DATABASE_URL")


def test_check_of_a_file_with_a_source_warns_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("redis: {url: 'redis://cache:6379'}\n")
    assert main(["--config.file", str(file), "--config.check"]) == 0
    assert capsys.readouterr().err == ""


def test_wrong_option_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--collector.radis"])
    said = "unrecognized arguments: --collector.radis; did you mean --collector.redis?"
    end = "controlcore-exporter --help lists the options"
    assert capsys.readouterr().err.splitlines() == [f"controlcore-exporter: error: {said} {end}"]


def test_mistyped_command_is_told_with_the_one_that_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["docter"])
    assert "unrecognized arguments: docter; did you mean doctor? " in capsys.readouterr().err


@pytest.mark.parametrize("command", [["-m", "exporter", "--print-metrics"], ["-m", "exporter", "grants"]])
def test_reader_that_went_away_gets_no_traceback(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run([sys.executable, *command], stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_bad_configuration_exits_2_with_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("api: {ulr: 'http://api:8000'}\nserver: {port: -1}\n")
    assert main(["--config.file", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(file)] * 2
    assert sorted(line.split(": ")[1] for line in lines) == ["api.ulr", "server.port"]


def test_fault_that_is_not_the_files_names_its_own_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("server: {port: 9877}\n")
    monkeypatch.setenv("CONTROLCORE_EXPORTER_SERVER__PORT", "x")
    assert main(["--config.file", str(file), "--config.check"]) == 2
    assert capsys.readouterr().err.startswith("CONTROLCORE_EXPORTER_SERVER__PORT: ")
    monkeypatch.delenv("CONTROLCORE_EXPORTER_SERVER__PORT")
    assert main(["--config.file", str(file), "--web.config.file", "/nowhere", "--config.check"]) == 2
    assert capsys.readouterr().err.startswith("/nowhere: ")


def test_missing_file_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config.file", "/nowhere/exporter.yml"]) == 2
    assert "/nowhere/exporter.yml: cannot read" in capsys.readouterr().err


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_offers_commands_options_and_collectors(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", shell]) == 0
    printed = capsys.readouterr().out
    wanted = ("grants", "doctor", "config.file", "no-collector.postgres", "print-completion")
    assert [word for word in wanted if word not in printed] == []


def test_catalogue_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-metrics"]) == 0
    assert "| `controlcore_scrape_collector_success` | gauge | `collector` |" in capsys.readouterr().out


DRIVERS = {"asyncpg", "redis", "re2", "kubernetes_asyncio"}


def test_sidecar_that_has_collected_has_imported_no_driver() -> None:
    """It runs in every replica's pod, and ignores a database that is configured for all."""
    nowhere = "127.0.0.1:9"
    urls = {"DATABASE_URL": f"postgresql://u@{nowhere}/d", "REDIS_URL": f"redis://{nowhere}"}
    code = "import sys; from exporter.__main__ import main; main(sys.argv[1:]); print(*sys.modules)"
    command = (
        sys.executable,
        "-c",
        code,
        "--scope",
        "pod",
        "--web.listen-address",
        "127.0.0.1:0",
        "--log.form",
        "json",
    )
    environment = os.environ | urls | {"CONTROLCORE_API_URL": f"http://{nowhere}"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as sidecar:
        assert sidecar.stderr is not None
        try:
            events = (json.loads(line) for line in sidecar.stderr)
            port = next(event["port"] for event in events if event["event"] == "program.started")
            wait_for(lambda: is_answered(f"http://127.0.0.1:{port}/-/ready"))
        finally:
            sidecar.terminate()
        modules = set(sidecar.communicate()[0].split())
    assert "exporter.collectors.control_plane.api" in modules
    assert modules & DRIVERS == set()


@pytest.mark.parametrize(
    ("argument", "heavy"),
    [
        ("--version", {"pydantic", "asyncio", "yaml", "structlog", "aiohttp", "exporter.collectors"}),
        ("--help", {"aiohttp", "bcrypt", "exporter.commands.serve", *DRIVERS}),
        ("--print-metrics", {"aiohttp", "bcrypt", "exporter.commands.serve", *DRIVERS}),
    ],
)
def test_option_that_prints_imports_only_what_it_needs(argument: str, heavy: set[str]) -> None:
    code = (
        "import sys\nfrom exporter.__main__ import main\n"
        f"try:\n    main([{argument!r}])\nexcept SystemExit:\n    pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.splitlines()[-1].split()) == set()
