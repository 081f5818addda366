"""The policy file that comes with the program: the starting point of an installation, every mode dry_run."""

from __future__ import annotations

from importlib.resources import files


def read_policies() -> str:
    """The text of the shipped policy file."""
    return files(__name__).joinpath("policies.yaml").read_text(encoding="utf-8")


def read_openapi() -> str:
    """The OpenAPI document of the HTTP API."""
    return files(__name__).joinpath("openapi.json").read_text(encoding="utf-8")
