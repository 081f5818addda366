"""Redaction leaves whole what the programs say themselves: `credential: every` would read like a secret."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.output.redaction import REMOVED, remove_secrets

ROOT = Path(__file__).parents[4]
SENTENCES = {"problem", "evidence", "reason", "message"}
"""Names of quoted values in findings, besides those of every fault and error."""


def literal(node: ast.AST) -> str:
    """A literal text, with a word instead of each value; empty for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or "word" for part in node.values)
    return ""


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of what a module says about faults."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith(("Fault", "Error", "unchecked")):
            yield from ((argument.lineno, literal(argument)) for argument in node.args)
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in SENTENCES:
            yield node.lineno, literal(node.value)


@pytest.mark.parametrize("part", ["chassis", "exporter", "remediations"])
def test_own_sentence_holds_nothing_that_looks_like_a_secret(part: str) -> None:
    found = [
        (f"{path.relative_to(ROOT)}:{line}", text)
        for path in (ROOT / part).rglob("*.py")
        for line, text in sentences(path)
        if "://" not in text  # the form of an address has the place of its password
    ]
    assert len(found) > 20
    assert [(place, text) for place, text in found if remove_secrets(text) != text] == []


@pytest.mark.parametrize(
    "text",
    [
        "database.password_file: cannot read /run/secrets/password: No such file or directory",
        "database.password_file: /run/secrets/password is empty",
        "kubernetes.kubeconfig: the credentials cannot be used: /home/ann/.kube/config is not YAML in line 2",
        "kubernetes: the credentials cannot be used: cannot read /var/run/secrets/token: Permission denied",
        "server.token_file: the file /etc/controlcore-remediator/token does not exist",
        "--web.password-file /etc/web.yml",
    ],
)
def test_what_is_wrong_with_a_file_is_told(text: str) -> None:
    assert remove_secrets(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "token: cannot-read-7",
        "password = cannot",
        "DB_PASSWORD_FILES=Zq7pLx9",
        "profile_password: hunter2",
        "password: nosuchfile",
    ],
)
def test_secret_that_begins_like_a_sentence_is_removed(text: str) -> None:
    assert remove_secrets(text).endswith(REMOVED)
