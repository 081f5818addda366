"""Finds everything that is wrong with the settings, the policy file and what they name, before anything runs."""

from __future__ import annotations

import ssl

from chassis.errors import ConfigError, Fault
from chassis.http.client_auth import secret_files
from chassis.http.web_config import read_web
from remediations.core.model.alert import Mode
from remediations.core.policies.policy import PolicySet
from remediations.credentials import check_files
from remediations.journal.sqlite.filesystem import find_fault
from remediations.settings import RemediatorSettings
from remediations.shelf import read_policies


def check_everything(settings: RemediatorSettings, *, is_serving: bool) -> PolicySet:
    """The policies, when nothing is wrong anywhere; raises ConfigError with the faults of all files at once."""
    faults: list[Fault] = []
    if is_serving:
        faults += settings.serve_faults()
    faults += [Fault("server.token_file", problem) for problem in check_files(settings.token_files())]
    for section, client in (("prometheus", settings.prometheus), ("alertmanager", settings.alertmanager)):
        for name, path in secret_files(client):
            faults += [Fault(f"{section}.{name}", problem) for problem in check_files((path,))]
    faults += web_faults(settings, is_serving=is_serving)
    faults += role_faults(settings)
    policy_set = PolicySet(())
    try:
        policy_set = read_policies(settings.policies_file)
    except ConfigError as error:
        faults += error.faults
    faults += journal_faults(settings, policy_set) if is_serving else ()
    if faults:
        raise ConfigError(tuple(faults))
    return policy_set


def journal_faults(settings: RemediatorSettings, policy_set: PolicySet) -> tuple[Fault, ...]:
    """Why no policy may act with this journal: what acts must remember that it has acted."""
    acting = [policy.name for policy in policy_set.policies if policy.mode in {Mode.AUTO, Mode.APPROVE}]
    if not acting or settings.journal.is_ephemeral_accepted:
        return ()
    fault = find_fault(settings.journal.path)
    return (Fault("journal.path", f"{fault}; policies that act: {', '.join(acting)}"),) if fault else ()


def role_faults(settings: RemediatorSettings) -> tuple[Fault, ...]:
    """Users and certificates of `server.roles` that the web configuration file does not know; a bad file has none."""
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
            Fault(f"{place}.users", f"{user} is no user of server.web_config_file")
            for user in held.users
            if user not in users
        ]
        if held.certificates and not verifies:
            faults.append(Fault(f"{place}.certificates", "server.web_config_file verifies no client certificates"))
    return tuple(faults)


def users_without_role(settings: RemediatorSettings) -> tuple[str, ...]:
    """Users of the web configuration file that no role names, where there are roles; blocks on the disk."""
    roles, path = settings.server.roles, settings.server.web_config_file
    if roles is None or path is None:
        return ()
    named = {user for held in roles.holders().values() for user in held.users}
    return tuple(sorted(set(read_web(path).config.basic_auth_users) - named))


def web_faults(settings: RemediatorSettings, *, is_serving: bool) -> tuple[Fault, ...]:
    """What is wrong with the web configuration file; a file that identifies nobody is no credential."""
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
    return (Fault("server.web_config_file", "names no users and demands no client certificate, and no token is set"),)
