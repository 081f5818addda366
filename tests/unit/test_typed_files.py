"""A rewritten file of an operator or cluster is read, or refused with its own error, whatever its values are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from chassis.errors import ConfigError, PermanentError
from chassis.http.web_config import read_web
from chassis.kubernetes.kubeconfig import from_kubeconfig
from exporter.sources.bouncer_discovery import read_file
from remediations.commands.policy_store import read_policies

TYPED = (
    "!!bool foo", "!!int ''", "!!int [a]", "!!int 5", "!!float ''", "!!float .nan", "!!timestamp foo",
    "!!timestamp 2026-01-01", "!!map [a]", "!!map {a: 1}", "!!set [a]", "!!set {a}", "!!binary é", "!!binary aGk=",
    "!!omap [a]", "!!omap [a: 1]", "!!pairs [a: 1]", "!!seq {a: 1}", "!!null foo", "!!str [a]", "!!merge a",
    "!!value =", '"\\UFFFFFFFF"', "[]", "{}",
)  # fmt: skip
DISCOVERY = "[{targets: [b1:8080], labels: {bouncer: one, policy_environment: sandbox, __scheme__: http}}]"
WEB = """
tls_server_config: {cert_file: a, key_file: b, client_auth_type: NoClientCert, client_allowed_sans: [c],
                    min_version: TLS12, cipher_suites: [TLS_AES_128_GCM_SHA256], curve_preferences: [X25519]}
http_server_config: {http2: true, headers: {X-Frame-Options: deny}}
basic_auth_users: {ann: x}
rate_limit: {interval: 1s, burst: 20}
"""
KUBECONFIG = """
current-context: a
contexts: [{name: a, context: {cluster: b, user: c}}]
clusters: [{name: b, cluster: {server: 'http://127.0.0.1:1', insecure-skip-tls-verify: true}}]
users: [{name: c, user: {token: word, exec: {command: x, args: [y], apiVersion: z, env: [{name: n, value: v}]}}}]
"""
POLICIES = """
identity: ['cluster="test"']
policies:
  - {name: restart-api, action: restart_workload, mode: auto, expires_seconds: 60,
     targets: [{namespace: control-core, kind: Deployment, name: control-plane-api}],
     condition: {promql: fault, collectors: [api]}, verify: {promql: well, collectors: [api]},
     witnesses: [{name: pods, kind: pods_ready}]}
"""
READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "discovery": (read_file, DISCOVERY),
    "web_config": (read_web, WEB),
    "kubeconfig": (from_kubeconfig, KUBECONFIG),
    "policies": (read_policies, POLICIES),
}


def scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """The plain values and keys of a document."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    for child in [] if isinstance(node, yaml.ScalarNode) else node.value:
        for each in child if isinstance(child, tuple) else (child,):
            yield from scalars(each)


def spoiled(text: str) -> Iterator[str]:
    """The document with each of its values and keys replaced by each typed one."""
    for node in scalars(yaml.compose(text, Loader=yaml.SafeLoader)):
        for typed in TYPED:
            yield text[: node.start_mark.index] + typed + " " + text[node.end_mark.index :]


@pytest.mark.parametrize("name", READERS)
def test_file_with_a_typed_value_anywhere_is_read_or_refused_by_its_own_error(name: str, tmp_path: Path) -> None:
    """M6, S5: any other exception would end the task that reads the file again, and with it the program."""
    read, text = READERS[name]
    file = tmp_path / f"{name}.yaml"
    for number, document in enumerate(spoiled(text)):
        file.write_text(document)
        try:
            with suppress(ConfigError, PermanentError):
                read(file)
        except Exception as error:
            raise AssertionError(f"document {number}: {document}") from error
