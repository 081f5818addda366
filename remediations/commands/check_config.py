"""Finds every fault in the settings, the policy file and the files they name, before anything runs."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from textwrap import wrap
from typing import Any

from chassis.clock import SystemClock
from chassis.config import read_secret
from chassis.errors import BackendError, ConfigError, Fault
from chassis.http.client import HttpClient
from chassis.http.client_auth import secret_files
from chassis.http.web_config import read_web
from chassis.kubernetes.client import KubernetesClient
from chassis.kubernetes.kubeconfig import from_kubeconfig
from chassis.output.redaction import remove_secrets
from chassis.output.terminal import printable, table, width
from remediations.commands.output.text import write_error, write_output
from remediations.commands.policy_store import read_policies
from remediations.core.decide import GUARDS
from remediations.core.model.alert import Mode
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Fact
from remediations.core.policies.lint import find_placeholders, find_queries, place_of
from remediations.core.policies.policy import PolicySet
from remediations.core.policies.reader import parse_policies
from remediations.execution.self_test import SOURCE, acting_targets, changes_of, downgrades, prove
from remediations.facts.prometheus import PrometheusClient
from remediations.http.tokens import check_files, new_token
from remediations.journal.pauses import find_mismatch
from remediations.journal.sqlite.filesystem import find_fault
from remediations.journal.sqlite.queries import read_pauses_only
from remediations.settings import RemediatorSettings

ASK_SECONDS = 1.0
"""Longest wait for Prometheus to parse one query."""


def check_everything(settings: RemediatorSettings, *, is_serving: bool, is_checking: bool = False) -> PolicySet:
    """The policies if all files are valid; otherwise raises ConfigError with the faults of all files at once.

    With `is_checking` it also checks every file that the program would open later.
    """
    faults: list[Fault] = []
    if is_serving:
        faults += settings.serve_faults()
    faults += token_faults(settings)
    for section, client in (("prometheus", settings.prometheus), ("alertmanager", settings.alertmanager)):
        for name, path in secret_files(client):
            faults += [Fault(f"{section}.{name}", problem) for problem in check_files((path,))]
    faults += web_faults(settings, is_serving=is_serving)
    faults += role_faults(settings)
    faults += file_faults(settings) if is_checking else ()
    policy_set = PolicySet(())
    try:
        policy_set = read_policies(settings.policies_file)
    except ConfigError as error:
        faults += error.faults
    faults += journal_faults(settings, policy_set) if is_serving else ()
    if faults:
        raise ConfigError(tuple(faults))
    return policy_set


def token_faults(settings: RemediatorSettings) -> list[Fault]:
    """Token files without a usable token, with the command that creates one if it would overwrite none; blocks."""
    return [
        Fault("server.token_file", problem if path.exists() else f"{problem}; create it: {new_token(path)}")
        for path in dict.fromkeys(settings.token_files())
        for problem in check_files((path,))
    ]


def journal_faults(settings: RemediatorSettings, policy_set: PolicySet) -> tuple[Fault, ...]:
    """Why no policy may act with this journal: the record of writes must survive a restart."""
    acting = [policy.name for policy in policy_set.policies if policy.mode in {Mode.AUTO, Mode.APPROVE}]
    if not acting or settings.journal.is_ephemeral_accepted:
        return ()
    fault = find_fault(settings.journal.path)
    return (Fault("journal.path", f"{fault}; policies that act: {', '.join(acting)}"),) if fault else ()


def file_faults(settings: RemediatorSettings) -> tuple[Fault, ...]:
    """Named files and folders that cannot be used; blocks on the disk."""
    faults: list[Fault] = []
    secrets = [(f"http_keys[{number}].key_file", key.key_file) for number, key in enumerate(settings.http_keys)]
    if settings.database is not None and settings.database.password_file is not None:
        secrets.append(("database.password_file", settings.database.password_file))
    kubeconfig = None if settings.kubernetes is None else settings.kubernetes.kubeconfig
    checks: list[Callable[[], object]] = [partial(read_secret, path, setting) for setting, path in secrets]
    checks += [] if kubeconfig is None else [partial(from_kubeconfig, kubeconfig)]
    for check in checks:
        try:
            check()
        except ConfigError as error:
            faults += error.faults
    journal = settings.journal.path
    if not journal.parent.is_dir():
        faults.append(
            Fault("journal.path", f"the folder {journal.parent} does not exist: create it, or name another folder")
        )
    elif journal.is_dir():
        faults.append(Fault("journal.path", f"{journal} is a folder: name a file in it"))
    return tuple(faults)


async def find_unreadable(settings: RemediatorSettings, policy_set: PolicySet) -> list[str]:
    """Asks Prometheus whether each query is valid; returns why not all could be checked, or an empty text.

    Raises ConfigError with every invalid query.
    """
    faults, warnings = [], []
    async with HttpClient.opened() as http:
        prometheus = PrometheusClient(http, settings.prometheus, SystemClock())
        for place, promql in find_queries(policy_set):
            try:
                problem = await prometheus.find_fault(promql, ASK_SECONDS)
            except BackendError as error:
                url = remove_secrets(settings.prometheus.url)
                warnings.append(f"PromQL is not checked: Prometheus at {url} (prometheus.url) does not answer: {error}")
                break
            if problem:
                faults.append(Fault(f"{settings.policies_file}: {place}", f"not PromQL: {problem}"))
    if faults:
        raise ConfigError(tuple(faults))
    return warnings


def role_faults(settings: RemediatorSettings) -> tuple[Fault, ...]:
    """Users and certificates of `server.roles` that the web configuration file lacks; none if that file has faults."""
    roles, path = settings.server.roles, settings.server.web_config_file
    if roles is None:
        return ()
    try:
        first = None if path is None else read_web(path)
    except ConfigError:
        return ()
    users = set() if first is None else set(first.config.basic_auth_users)
    verifies = first is not None and first.tls is not None and first.tls.verify_mode is not ssl.CERT_NONE
    faults = []
    for role, held in roles.holders().items():
        place = f"server.roles.{role.value}"
        faults += [
            Fault(f"{place}.users", f"{user} is not a user in server.web_config_file")
            for user in held.users
            if user not in users
        ]
        if held.certificates and not verifies:
            faults.append(Fault(f"{place}.certificates", "server.web_config_file does not verify client certificates"))
    return tuple(faults)


def users_without_role(settings: RemediatorSettings) -> tuple[str, ...]:
    """Users of the web configuration file without a role, if roles are configured; blocks on the disk."""
    roles, path = settings.server.roles, settings.server.web_config_file
    if roles is None or path is None:
        return ()
    named = {user for held in roles.holders().values() for user in held.users}
    return tuple(sorted(set(read_web(path).config.basic_auth_users) - named))


def web_faults(settings: RemediatorSettings, *, is_serving: bool) -> tuple[Fault, ...]:
    """Faults of the web configuration file; a file that identifies no caller is not a credential."""
    path = settings.server.web_config_file
    if path is None:
        return ()
    try:
        first = read_web(path)
    except ConfigError as error:
        return error.faults
    names_somebody = bool(first.config.basic_auth_users)
    names_somebody |= first.tls is not None and first.tls.verify_mode is ssl.CERT_REQUIRED
    if not is_serving or names_somebody or settings.token_files():
        return ()
    return (Fault("server.web_config_file", "names no users and requires no client certificate, and no token is set"),)


def check_config(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints the configuration that would be in force."""
    policy_set = check_everything(settings, is_serving=False, is_checking=True)
    proofs, unread = asyncio.run(ask_all(settings, policy_set))
    found = policy_status(policy_set, proofs)
    write_output(options, found, render_policy_status(found, proofs) + render_route_check(settings, policy_set))
    for warning in (*find_warnings(policy_set), *unread, *find_unmatched_pauses(settings, policy_set)):
        write_error(f"warning: {warning}")
    if not settings.token_files():
        write_error("warning: server.token_file is not set; serve refuses to start")
    return 0


def find_warnings(policy_set: PolicySet) -> list[str]:
    """Warnings: what is incomplete but does not prevent a start, each with its location."""
    return [
        f"{place_of(f'policies[{index}]', policy_set.policies[index].name)}.{key}: {sentence}"
        for index, key, sentence in find_placeholders(policy_set)
    ]


def find_unmatched_pauses(settings: RemediatorSettings, policy_set: PolicySet) -> list[str]:
    """Pauses in force without effect under these policies, or why they are not checked; blocks on the disk."""
    place = settings.journal
    if not place.path.exists():
        return []
    try:
        pauses = read_pauses_only(place.path, SystemClock().now(), place.timeout_seconds)
    except JournalError as error:
        return [f"pauses are not checked: {error}"]
    found = [(pause, find_mismatch(policy_set, pause)) for pause in pauses]
    return [f"pause {pause.name} has no effect: {problem}" for pause, problem in found if problem]


def render_route_check(settings: RemediatorSettings, policy_set: PolicySet) -> str:
    """The command that checks whether Alertmanager also sends these alerts to people; empty without an Alertmanager."""
    if settings.alertmanager is None or not policy_set.policies:
        return ""
    labels = f"alertname=ControlCoreTest remediation={policy_set.policies[0].name} severity=critical"
    return (
        "people must be a second receiver of these alerts (docs/alertmanager.md); test Alertmanager's routes with\n"
        f"  amtool config routes test --alertmanager.url={settings.alertmanager.url} {labels}\n"
    )


WORDS = {None: "unknown", False: "passed", True: "failed"}


EFFECTIVE = {None: "held", False: Mode.AUTO.value, True: Mode.APPROVE.value}
"""A policy's behaviour in mode auto after each result of the self-test."""


async def prove_all(settings: RemediatorSettings, policy_set: PolicySet) -> dict[str, Fact[bool]]:
    """The self-test result for each namespace with a policy in mode auto; empty if Kubernetes is not configured."""
    places, place = acting_targets(policy_set), settings.kubernetes
    if place is None:
        return {}
    async with AsyncExitStack() as stack:
        try:
            api = await stack.enter_async_context(
                KubernetesClient.opened(place.kubeconfig, place.max_list_bytes, remove_secrets)
            )
        except ConfigError as error:
            problem = "; ".join(fault.message for fault in error.faults)
            return {namespace: Fact(None, SOURCE, problem) for namespace in places}
        return {
            namespace: await prove(api, changes_of(policy_set, namespace), place.timeout_seconds)
            for namespace in places
        }


async def ask_all(settings: RemediatorSettings, policy_set: PolicySet) -> tuple[dict[str, Fact[bool]], list[str]]:
    """The self-test results, and the warnings about queries that could not be checked; raises ConfigError."""
    unread = await find_unreadable(settings, policy_set)
    return await prove_all(settings, policy_set), unread


async def check_content(
    settings: RemediatorSettings, policies: str | None = None, *, is_serving: bool = False
) -> dict[str, Any]:
    """Every fault and warning of the settings and their files, and the state of each policy if there is no fault.

    With `policies`, checks the text of that policy file instead. Then the API server is not queried, because its
    answers depend on the policies that the program runs with.
    """
    try:
        if policies is None:
            policy_set = await asyncio.to_thread(check_everything, settings, is_serving=is_serving, is_checking=True)
            proofs, unread = await ask_all(settings, policy_set)
        else:
            policy_set = await asyncio.to_thread(parse_policies, policies, "policies")
            proofs, unread = {place: Fact(None, SOURCE, "not asked") for place in acting_targets(policy_set)}, []
    except ConfigError as error:
        faults = [{"path": fault.path, "message": fault.message} for fault in error.faults]
        return {"is_valid": False, "faults": faults, "warnings": [], "policies": []}
    warnings = find_warnings(policy_set) + unread
    warnings += await asyncio.to_thread(find_unmatched_pauses, settings, policy_set)
    found = policy_status(policy_set, proofs)
    return {"is_valid": True, "faults": [], "warnings": warnings, "policies": found}


def policy_status(policy_set: PolicySet, proofs: dict[str, Fact[bool]]) -> list[dict[str, Any]]:
    """Each policy with its configured mode, the result of the self-test, and the mode in force."""
    tested = downgrades(policy_set, proofs)
    return [
        {
            "policy": item.name,
            "mode": item.mode.value,
            "effective_mode": EFFECTIVE[tested[item.name]] if item.name in tested else item.mode.value,
            "self_test": WORDS[tested[item.name]] if item.name in tested else "not needed",
            "action": item.action,
            "targets": ", ".join(target.key for target in item.targets),
        }
        for item in policy_set.policies
    ]


def render_policy_status(data: list[dict[str, Any]], proofs: dict[str, Fact[bool]]) -> str:
    """The same for people, with the changes that the API server accepted (or why that is unknown), and the guards."""
    rows = [("POLICY", "MODE", "SELF-TEST", "ACTION", "TARGETS")]
    rows += [(each["policy"], _mode(each), each["self_test"], each["action"], each["targets"]) for each in data]
    lines = [
        f"self-test in {namespace}: {printable(proof.problem)}\n"
        for namespace, proof in sorted(proofs.items())
        if proof.value is not True
    ]
    order = f"guards, in the order in which they run: {', '.join(guard.name for guard in GUARDS)}\n"
    return table(rows, width()) + "".join(lines) + "\n".join(wrap(order, min(width() or 100, 100))) + "\n"


def _mode(each: dict[str, Any]) -> str:
    """The mode, with the mode in force if it differs."""
    mode, effective = each["mode"], each["effective_mode"]
    return str(mode) if mode == effective else f"{mode} ({effective})"
