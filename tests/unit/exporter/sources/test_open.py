from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from chassis.errors import ConfigError
from exporter.commands.configuration import load_settings
from exporter.sources.open import addresses, opened
from tests.fakes.clock import ManualClock
from tools.slowness import scaled

SCRIPT = """
import asyncio, sys, threading
from chassis.clock import SystemClock
from exporter.settings import ExporterSettings
from exporter.sources.open import opened

imported = set()

def note(event, arguments):
    if event == "import" and arguments[0] in {"asyncpg", "redis"}:
        imported.add((arguments[0], threading.current_thread() is threading.main_thread()))

settings = ExporterSettings(
    database={"url": "postgresql://user@127.0.0.1/db"}, redis={"url": "redis://127.0.0.1"},
)

async def body():
    async with opened(settings, SystemClock()):
        print(sorted(imported))

sys.addaudithook(note)
asyncio.run(body())
"""


async def test_nothing_configured_opens_only_the_http_client() -> None:
    async with opened(await asyncio.to_thread(load_settings, (), None), ManualClock()) as sources:
        assert (sources.postgres, sources.postgres_address, sources.redis, sources.redis_address) == (None,) * 4
        assert sources.kubernetes is None


async def test_configured_backends_are_opened_without_being_asked() -> None:
    """Both addresses lead nowhere: opening must not care."""
    values = {"database": {"url": "postgresql://u@127.0.0.1:9/d"}, "redis": {"url": "redis://127.0.0.1:9/0"}}
    async with opened(await asyncio.to_thread(load_settings, (), None, values), ManualClock()) as sources:
        assert sources.postgres is not None
        assert sources.redis is not None


@pytest.mark.timeout(60)
async def test_words_of_a_plug_in_are_quoted_without_secrets(tmp_path: Path) -> None:
    """M10's kind: what a credential plug-in of the kubeconfig writes reaches the log."""
    script = "import sys; sys.exit('denied: password=hunter2hunter2 for ann')"
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", script]}
    kubeconfig = tmp_path / "kubeconfig"
    config = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"exec": command}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    kubeconfig.write_text(yaml.safe_dump(config))
    settings = await asyncio.to_thread(load_settings, (), None, {"kubernetes": {"kubeconfig": kubeconfig}})

    with pytest.raises(ConfigError, match=r"denied: password=\[removed\] for ann"):
        async with opened(settings, ManualClock()):
            pass


def test_password_files_reach_the_addresses(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    database, redis = addresses(
        load_settings(
            (),
            None,
            {
                "database": {"url": "postgresql://u@h/d", "password_file": secret},
                "redis": {"url": "redis://h", "password_file": secret},
            },
        )
    )
    assert database is not None
    assert redis is not None
    assert (database.password_file, redis.password_file) == (secret, secret)


def test_no_driver_is_imported_on_the_event_loop() -> None:
    """On a slow machine the import of redis blocked the loop for two seconds, and the watchdog complained."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=scaled(30)
    )

    assert ended.stdout == "[('asyncpg', False), ('redis', False)]\n"
