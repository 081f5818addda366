"""Hands the settings of this machine's pip to the pip inside a build: a mirror, a proxy, a certificate authority.

They go in as build secrets, which no layer and no history of the image holds.
"""

from __future__ import annotations

import ast
import configparser
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT = ("index-url", "extra-index-url", "trusted-host", "proxy", "retries", "timeout")
"""Settings that mean the same inside a build; others name files of this machine."""
OTHER_NAMES = {"default-timeout": "timeout"}
SECTIONS = ("global", "install", ":env:")
"""The later one wins, as in pip."""
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Where pip looks for certificates without a setting of its own."""
BUNDLE_PLACE = "/run/secrets/ca"
"""Where the Dockerfile mounts the secret `ca`."""


def write_secrets(folder: Path) -> dict[str, Path]:
    """Writes pip's settings into the folder; returns the secrets `pip` and `ca`, without those that are not needed."""
    settings = read_settings(_list_settings())
    bundle = Path(settings.pop("cert", "") or next(filter(None, map(os.environ.get, BUNDLE_VARIABLES)), ""))
    secrets = {}
    if bundle.is_file():
        secrets["ca"] = bundle
        settings["cert"] = BUNDLE_PLACE
    if settings:
        secrets["pip"] = folder / "pip.conf"
        secrets["pip"].write_text("", encoding="utf-8")
        # An address may hold a password.
        secrets["pip"].chmod(0o600)
        parser = configparser.RawConfigParser()
        parser["global"] = settings
        with secrets["pip"].open("w", encoding="utf-8") as file:
            parser.write(file)
    return secrets


def read_settings(listing: str) -> dict[str, str]:
    """The settings in the output of `pip config list` that a build needs; `cert` is still a path of this machine."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listing.splitlines():
        name, is_setting, value = line.partition("=")
        section, _, key = name.rpartition(".")
        key = OTHER_NAMES.get(key, key)
        if is_setting and section in found and key in {*KEPT, "cert"}:
            found[section][key] = str(ast.literal_eval(value))
    merged: dict[str, str] = {}
    for section in SECTIONS:
        merged |= found[section]
    return merged


def tell(secrets: Mapping[str, Path]) -> str:
    """The names of the settings that go into the build; no value, which may be a password."""
    if "pip" not in secrets:
        return "pip in the build has its defaults"
    parser = configparser.RawConfigParser()
    parser.read(secrets["pip"], encoding="utf-8")
    names = sorted({key for section in parser.sections() for key in parser[section]})
    return f"pip in the build has this machine's settings, as secrets: {', '.join(names)}"


def _list_settings() -> str:
    """What `pip config list` prints; empty without pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else ""
