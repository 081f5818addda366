"""Foreign words in the remediator's own connections."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml

from chassis.errors import ConfigError
from remediations.commands.connections import open_cluster
from remediations.settings import RemediatorKubernetesSettings, RemediatorSettings

SECRET = "hunter2hunter2"
PLACES = (0, 274, 295)
"""Characters before the name of the secret: the last two lie about where the text is cut."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", PLACES)
async def test_plug_in_that_fails_is_quoted_without_secrets(tmp_path: Path, place: int) -> None:
    """M7: its standard error ends up in the log and in what `check-config` prints."""
    said = "x" * place + f' {{"password": "{SECRET}"}} refused' + "x" * 500
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"import sys; sys.exit({said!r})"],
    }
    config = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"exec": command}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = tmp_path / "kubeconfig"
    await asyncio.to_thread(path.write_text, yaml.safe_dump(config))
    settings = RemediatorSettings.model_construct(kubernetes=RemediatorKubernetesSettings(kubeconfig=path))

    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError) as caught:
            await open_cluster(stack, settings)

    assert "ended with status 1: " in str(caught.value)
    assert SECRET[:4] not in str(caught.value)
