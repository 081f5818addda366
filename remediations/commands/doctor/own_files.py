"""Checks of the configuration and of credentials: what `check-config` reports, and the state of the files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from chassis.config import read_secret
from chassis.errors import ConfigError, Fault
from chassis.http.client_auth import secret_files
from chassis.output.findings import Finding, Severity
from remediations.commands.check_config import check_everything, find_warnings, token_faults, users_without_role
from remediations.commands.doctor.installation import Installation, names_of, shell_word
from remediations.core.model.alert import Mode
from remediations.http.roles import INCLUDED
from remediations.http.tokens import check_files, new_token
from remediations.settings import RemediatorSettings, Role

JOURNAL = "journal.path"
TOKENS = "server.token_file"


async def check_configuration(place: Installation, check: str) -> list[Finding]:
    """Every fault of the settings, the files that they name and the policy file, and placeholder addresses."""
    return await asyncio.to_thread(_configuration, place, check)


def _configuration(place: Installation, check: str) -> list[Finding]:
    """The same; blocks on the disk. The journal of a program elsewhere is not here, so its folder is no fault."""
    faults = [fault for fault in _faults(place.settings) if not (place.url and fault.path == JOURNAL)]
    found = [
        Finding(Severity.ERROR, check, f"{fault.path} is wrong", fault.message, _remedy(place, fault))
        for fault in faults
    ]
    warnings = find_warnings(place.policy_set)
    if warnings:
        problem = "policies still have placeholder addresses"
        remedy = f"edit {place.settings.policies_file}, then: {place.command} check-config"
        found.append(Finding(Severity.WARNING, check, problem, "\n".join(warnings), remedy))
    if faults and not place.policy_set.policies:
        problem = "not checked: what policies need (objects, rights, PromQL, routes)"
        remedy = "fix the policy file, then run doctor again"
        found.append(Finding(Severity.UNKNOWN, check, problem, "the policy file cannot be read", remedy))
    return found


def _faults(settings: RemediatorSettings) -> list[Fault]:
    """The faults that make `serve` refuse to start; `check_credentials` reports those of token files."""
    try:
        check_everything(settings, is_serving=True, is_checking=True)
    except ConfigError as error:
        bad = token_faults(settings)
        return [fault for fault in error.faults if fault not in bad]
    return []


def _remedy(place: Installation, fault: Fault) -> str:
    """The remedy for one fault."""
    journal = place.settings.journal.path
    if fault.path == TOKENS:
        return f"{new_token(Path('/etc/controlcore-remediator/token'))}\nset {TOKENS} to it in {place.place}"
    if fault.path == JOURNAL:
        if not journal.parent.exists():
            return f"mkdir -p {shell_word(journal.parent)}"
        return f"set {JOURNAL} in {place.place} to a file on a disk that survives a restart (a PersistentVolumeClaim)"
    return f"correct {fault.path}, then: {place.command} check-config"


async def check_credentials(place: Installation, check: str) -> list[Finding]:
    """Token and password files: readable, long enough, inaccessible to other users, and not shared between roles."""
    return await asyncio.to_thread(
        lambda: [*_unusable(place, check), *_open_files(place, check), *_shared(place, check)]
    )


def _unusable(place: Installation, check: str) -> Iterator[Finding]:
    """Token files from which no token can be read."""
    for path in dict.fromkeys(place.settings.token_files()):
        for problem in check_files((path,)):
            is_denied = path.exists()
            file = shell_word(path)
            remedy = f"chown $(id -u) {file} && chmod 600 {file}" if "Permission" in problem else new_token(path)
            words = "gives no token" if is_denied else "does not exist"
            more = f"{remedy}\ngive the same token to its sender (Alertmanager: credentials_file)"
            yield Finding(Severity.ERROR, check, f"a token file {words}", problem, more)


def _open_files(place: Installation, check: str) -> Iterator[Finding]:
    """Files with secrets that other users may read or write."""
    for path in _secrets(place.settings):
        try:
            known = path.stat()
        except OSError:
            continue
        mode = stat.S_IMODE(known.st_mode)
        if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP) and not _is_projected(path):
            evidence = f"{path} has mode {mode:04o}"
            problem = "other users of this machine may read or change a secret"
            remedy = f"chmod 600 {shell_word(path)}"
            if known.st_uid != os.getuid():
                evidence += f" and belongs to user {known.st_uid}"
                remedy = f"chown USER {shell_word(path)} && {remedy}   # USER: the user that the program runs as"
            yield Finding(Severity.WARNING, check, problem, evidence, remedy)


def _secrets(settings: RemediatorSettings) -> Iterable[Path]:
    """Every file with a secret that the settings name."""
    found = list(settings.token_files())
    found += [path for client in (settings.prometheus, settings.alertmanager) for _, path in secret_files(client)]
    found += [key.key_file for key in settings.http_keys]
    if settings.database is not None and settings.database.password_file is not None:
        found.append(settings.database.password_file)
    return dict.fromkeys(found)


def known_secrets(settings: RemediatorSettings) -> Iterator[str]:
    """The contents of these files, which no evidence may show; a check reports one that cannot be read. Blocks."""
    for path in _secrets(settings):
        with suppress(ConfigError):
            yield read_secret(path, str(path)).get_secret_value()


def _is_projected(path: Path) -> bool:
    """Whether the kubelet mounts the file from a Secret: then only the pod's containers see it, whatever its mode."""
    return any((folder / "..data").is_symlink() for folder in path.parents)


def _shared(place: Installation, check: str) -> Iterator[Finding]:
    """A token that both Alertmanager and a person hold: with it, Alertmanager could approve."""
    roles = place.settings.server.roles
    if roles is None:
        return
    delivering = {*place.settings.delivering_files(), *roles.deliver.token_files}
    tokens = {_digest(path): path for path in delivering}
    for role in (Role.OPERATE, Role.APPROVE):
        for path in roles.holders()[role].token_files:
            digest = _digest(path)
            if digest and digest in tokens:
                evidence = (
                    f"{path} and {tokens[digest]} contain the same token" if path != tokens[digest] else f"{path}"
                )
                other = path.with_name(f"{path.name}-{role.value}")
                remedy = f"{new_token(other)}\nname this file in server.roles.{role.value} in {place.place}"
                problem = f"the token for delivering alerts may also {role.value}"
                yield Finding(Severity.WARNING, check, problem, evidence, remedy)


def _digest(path: Path) -> str:
    """The digest of the token in a file; empty if there is none."""
    try:
        return hashlib.sha256(path.read_bytes().strip()).hexdigest()
    except OSError:
        return ""


async def check_roles(place: Installation, check: str) -> list[Finding]:
    """Whether anyone may approve if policies need approval, and whether each user has a role."""
    settings, roles = place.settings, place.settings.server.roles
    waiting = [policy for policy in place.policy_set.policies if policy.mode is Mode.APPROVE]
    found = []
    approvers = [] if roles is None else [role for role, held in roles.holders().items() if not held.is_empty()]
    if waiting and Role.APPROVE not in {included for role in approvers for included in INCLUDED[role]}:
        problem = "policies wait for approval, and no credential may approve plans over HTTP"
        evidence = f"mode approve: {names_of(waiting)}; server.roles.approve is empty"
        remedy = (
            f"add to {place.place}: server: {{roles: {{approve: {{users: [NAME]}}}}}}\n"
            f"until then, on the program's host: {place.command} approve ID --plan HASH"
        )
        found.append(Finding(Severity.WARNING, check, problem, evidence, remedy))
    try:
        unnamed = await asyncio.to_thread(users_without_role, settings)
    except ConfigError:
        return found
    if unnamed:
        problem = "users of the web configuration have no role: all their requests are answered 403"
        remedy = f"name them in server.roles in {place.place}, or remove them from {settings.server.web_config_file}"
        found.append(Finding(Severity.WARNING, check, problem, f"users {', '.join(unnamed)}", remedy))
    return found
