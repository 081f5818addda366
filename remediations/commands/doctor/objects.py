"""Checks of the targets of policies: objects of the cluster, addresses that are called, and the database."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from shlex import quote
from urllib.parse import urlsplit

from chassis.errors import BackendError, Reason
from chassis.http.call import Call
from chassis.kubernetes.client import JsonObject
from chassis.kubernetes.objects import reading
from chassis.kubernetes.paths import deployment_path, resource_path
from chassis.output.findings import Finding, Severity
from chassis.postgres.address import PostgresAddress, PostgresTarget
from remediations.commands.connections import opened_session
from remediations.commands.doctor.access import grant_commands, read_user
from remediations.commands.doctor.installation import Installation, names_of, severity_of, unreachable
from remediations.commands.doctor.rights import Right
from remediations.core.action import Effect
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Target
from remediations.core.model.cluster import Autoscaler, Template, Workload
from remediations.core.model.facts import Need
from remediations.core.model.names import ANNOTATION_HANDS_OFF
from remediations.core.policies.limits import Consent
from remediations.core.policies.lint import PLACEHOLDER
from remediations.core.policies.policy import Policy, WitnessKind
from remediations.facts.ask import describe
from remediations.facts.kubernetes.action_facts import read_idle_sessions
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.workload import read_autoscalers, read_template, read_workload

SCALING = "scale_workload"
CALL_SECONDS = 3.0
SOURCE = re.compile(r"(ConfigMap|Secret)[ /]([a-z0-9][a-z0-9.-]*)")
"""A reference in a template, in the format of the template reader."""
NO_DATABASE = "SQLSTATE 3D000"
"""PostgreSQL's code for a name that no database has (appendix A, invalid_catalog_name)."""
NONE_SECONDS = 86400.0
"""No session is idle for this long: only the permission matters."""


def location(target: Target) -> str:
    """The API path of a target in Kubernetes."""
    if target.kind == "Deployment":
        return deployment_path(target.namespace, target.name)
    return resource_path("batch/v1", "cronjobs", namespace=target.namespace, name=target.name)


async def check_cluster(place: Installation, check: str) -> list[Finding]:
    """The API server answers with our credentials, if a policy needs it."""
    targets = place.targets()
    if not targets:
        return []
    policies = [policy for users in targets.values() for policy in users]
    if place.settings.kubernetes is None:
        problem = (
            "policies act on Kubernetes objects, but Kubernetes is not configured: each remediation is held as "
            "no_orchestrator"
        )
        remedy = f"add to {place.place}: kubernetes: {{}}   # or {{kubeconfig: PATH}} outside a pod"
        return [Finding(severity_of(policies), check, problem, names_of(policies), remedy)]
    if place.cluster is None:
        remedy = "in a pod: automountServiceAccountToken: true; elsewhere: kubernetes.kubeconfig names a usable file"
        return [
            Finding(Severity.ERROR, check, "there are no credentials for Kubernetes", place.cluster_problem, remedy)
        ]
    try:
        await place.reader.get("/version")
    except BackendError as error:
        remedy = "kubectl get --raw /version   # with the same credentials: kubernetes.kubeconfig, or the pod's"
        return [Finding(Severity.ERROR, check, "the API server does not answer as it should", describe(error), remedy)]
    return []


async def check_objects(place: Installation, check: str) -> list[Finding]:
    """Every target exists and is in a state in which its policies can act on it."""
    if place.cluster is None:
        return []  # reported by `check_cluster`
    reader = place.reader
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_of_target(place, reader, check, target, policies), name=f"target.{target.key}")
            for target, policies in place.targets().items()
        ]
    return [finding for task in tasks for finding in task.result()]


async def _of_target(
    place: Installation, reader: ClusterReader, check: str, target: Target, policies: list[Policy]
) -> list[Finding]:
    """The faults of one target."""
    try:
        document = await reader.get(location(target))
        with reading(target.kind):
            found = list(judge_object(check, target, policies, document))
    except BackendError as error:
        if error.reason is not Reason.MISSING:
            remedy = "fix what the checks kubernetes and rights name, then run doctor again"
            return [Finding(Severity.UNKNOWN, check, f"{target.key} is not checked", describe(error), remedy)]
        plural = "deployments" if target.kind == "Deployment" else "cronjobs"
        remedy = (
            f"kubectl get {plural} -n {target.namespace}   # find its name here\n"
            f"correct `targets` of {names_of(policies)} in {place.settings.policies_file}, or remove the policy"
        )
        problem = f"{target.key} does not exist"
        evidence = f"policies {names_of(policies)}: held as target_missing"
        return [Finding(severity_of(policies), check, problem, evidence, remedy)]
    starting = [policy for policy in policies if Effect.STARTS_PODS in ACTIONS[policy.action].effects]
    if starting:
        found += await _of_template(place, reader, check, target, starting)
    scaling = [policy for policy in policies if policy.action == SCALING]
    if scaling:
        found += await _of_scaling(reader, check, target, scaling)
    return found


def judge_object(check: str, target: Target, policies: list[Policy], document: JsonObject) -> Iterator[Finding]:
    """The obstacles to acting on an existing object."""
    spec, kind = document["spec"], target.kind.lower()
    severity, who = severity_of(policies), _who(policies)
    where = f"-n {target.namespace} {kind} {target.name}"
    if (document["metadata"].get("annotations") or {}).get(ANNOTATION_HANDS_OFF) == "true":
        problem = f"{target.key} is not changed: it has the annotation {ANNOTATION_HANDS_OFF}"
        yield Finding(Severity.WARNING, check, problem, who, f"kubectl annotate {where} {ANNOTATION_HANDS_OFF}-")
    if target.kind == "CronJob":
        if spec.get("suspend"):
            problem = f"{target.key} is suspended: it creates no Job"
            remedy = f'kubectl patch {where} -p \'{{"spec": {{"suspend": false}}}}\''
            yield Finding(Severity.WARNING, check, problem, who, remedy)
        return
    if spec.get("paused"):
        problem = f"{target.key} is paused: the controller would not roll out a restart or a new size"
        yield Finding(Severity.WARNING, check, problem, who, f"kubectl rollout resume {where}")
    if spec.get("replicas") == 0:
        problem = f"{target.key} is scaled to zero"
        yield Finding(Severity.WARNING, check, problem, who, f"kubectl scale {where} --replicas=N")
    waiting = [policy for policy in policies if _needs_readiness(policy)]
    if waiting and not any(item.get("readinessProbe") for item in spec["template"]["spec"]["containers"]):
        problem = f"no container of {target.key} has a readiness probe: its pods stay Ready in every fault"
        evidence = f"the witness pods_ready of {names_of(waiting)} can never confirm a fault"
        remedy = "add a readinessProbe to the pod template, or a witness of kind http to the policy"
        yield Finding(severity, check, problem, evidence, remedy)


def _needs_readiness(policy: Policy) -> bool:
    """Whether the policy acts only if pods are not Ready, and no other witness could confirm the fault."""
    kinds = {witness.kind for witness in policy.witnesses}
    return kinds == {WitnessKind.PODS_READY}


async def _of_template(
    place: Installation, reader: ClusterReader, check: str, target: Target, policies: list[Policy]
) -> list[Finding]:
    """The obstacles to new pods in the pod template, read as for a decision."""
    try:
        workload = await read_workload(reader, target)
        template = await read_template(reader, target)
    except BackendError as error:
        remedy = "fix what the checks kubernetes and rights name, then run doctor again"
        return [
            Finding(Severity.UNKNOWN, check, f"the template of {target.key} is not checked", describe(error), remedy)
        ]
    is_unread = workload.drop_tables is None or any(source.changed_at is None for source in template.sources)
    user = await read_user(place) if is_unread else ""
    return list(judge_template(check, target, policies, (workload, template), user))


def judge_template(
    check: str, target: Target, policies: list[Policy], seen: tuple[Workload, Template], user: str
) -> Iterator[Finding]:
    """What in a template holds policies that do not accept it; `user` is our name at the API server."""
    workload, template = seen
    where = f"-n {target.namespace} deployment {target.name}"
    if workload.drop_tables:
        problem = f"new pods of {target.key} would delete every table of the product: held as drop_tables"
        remedy = f"kubectl set env {where.replace('deployment ', 'deployment/')} CC_DROP_TABLES-"
        yield Finding(severity_of(policies), check, problem, f"it sets CC_DROP_TABLES; {_who(policies)}", remedy)
    if workload.drop_tables is None:
        problem = f"the template of {target.key} cannot be read completely: held as template_unreadable"
        why = workload.drop_tables_problem
        yield Finding(severity_of(policies), check, problem, why, _let_read(target, why, user))
    unread = [source for source in template.sources if source.changed_at is None]
    strict = [policy for policy in policies if Consent.UNREAD_CONFIGURATION not in policy.accept]
    if unread and strict and workload.drop_tables is not None:
        problem = f"ConfigMaps or Secrets in the template of {target.key} cannot be read: held as configuration_unknown"
        names = ", ".join(source.name for source in unread)
        evidence = f"{names}; {_who(strict)}"
        remedy = f"{_let_read(target, names, user)}\n# or add `accept: [{Consent.UNREAD_CONFIGURATION}]` to the policy"
        yield Finding(severity_of(strict), check, problem, evidence, remedy)
    strict = [policy for policy in policies if Consent.UNPINNED_IMAGE not in policy.accept]
    if template.unpinned and strict:
        problem = f"images of {target.key} are pulled again at every start: held as image_unpinned"
        remedy = (
            f"kubectl set image {where.replace('deployment ', 'deployment/')} CONTAINER=IMAGE@sha256:DIGEST\n"
            f"# or set imagePullPolicy: IfNotPresent, or add `accept: [{Consent.UNPINNED_IMAGE}]` to the policy"
        )
        yield Finding(severity_of(strict), check, problem, f"{', '.join(template.unpinned)}; {_who(strict)}", remedy)


def _who(policies: list[Policy]) -> str:
    """The policies as a finding names them."""
    return f"policies {names_of(policies)}"


def _let_read(target: Target, text: str, user: str) -> str:
    """The commands that grant reading of the ConfigMaps and Secrets that a text names."""
    found = dict.fromkeys(SOURCE.findall(text))
    rights = [Right("get", "", f"{kind.lower()}s", target.namespace, name) for kind, name in found]
    commands = grant_commands(rights, user) if rights else ""
    return f"{commands}\n# with the chart also: remediator.readableConfigMaps and remediator.readableSecrets".lstrip()


async def _of_scaling(reader: ClusterReader, check: str, target: Target, policies: list[Policy]) -> list[Finding]:
    """The obstacles to more pods for a Deployment."""
    try:
        found = await read_autoscalers(reader, target)
    except BackendError as error:
        remedy = "fix what the check rights names, then run doctor again"
        return [
            Finding(
                Severity.UNKNOWN, check, f"the autoscalers of {target.key} are not checked", describe(error), remedy
            )
        ]
    return list(judge_autoscalers(check, target, policies, found))


def judge_autoscalers(
    check: str, target: Target, policies: list[Policy], found: tuple[Autoscaler, ...]
) -> Iterator[Finding]:
    """The faults of the owner of the number of replicas."""
    severity, who, listing = (
        severity_of(policies),
        f"policies {names_of(policies)}",
        f"kubectl get hpa -n {target.namespace}",
    )
    if not found:
        problem = (
            f"no HorizontalPodAutoscaler scales {target.key}: a scale-up sets spec.replicas of the Deployment itself"
        )
        yield Finding(Severity.INFO, check, problem, who, f"{listing}   # check whether one is missing")
        return
    if len(found) > 1:
        names = ", ".join(item.name for item in found)
        problem = f"several autoscalers scale {target.key}: held as owner_unknown"
        yield Finding(
            severity,
            check,
            problem,
            f"{names}; {who}",
            f"kubectl delete hpa -n {target.namespace} NAME   # one of them",
        )
        return
    (autoscaler,) = found
    if autoscaler.is_active is False:
        problem = f"the autoscaler of {target.key} sees no metrics: held as autoscaler_blind"
        remedy = f"kubectl describe hpa -n {target.namespace} {autoscaler.name}   # the metrics server, or CPU requests"
        yield Finding(severity, check, problem, f"ScalingActive is False; {who}", remedy)
    caps = {policy.name: int(policy.parameters.get("max_replicas_cap", 0)) for policy in policies}
    full = [name for name, cap in caps.items() if autoscaler.maximum >= cap]
    if full:
        problem = (
            f"the autoscaler of {target.key} already allows as many replicas as the policy: the policy cannot raise it"
        )
        evidence = f"maxReplicas of {autoscaler.name} is {autoscaler.maximum}; max_replicas_cap of {', '.join(full)}"
        remedy = "raise parameters.max_replicas_cap in the policy file (count the connections), or lower maxReplicas"
        yield Finding(severity, check, problem, evidence, remedy)


async def check_endpoints(place: Installation, check: str) -> list[Finding]:
    """Every address that policies call or use as a witness answers; a GET of / triggers nothing."""
    users = endpoints(place.rungs())
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_of_endpoint(place, check, url, policies), name="endpoint")
            for url, policies in users.items()
        ]
    return [finding for task in tasks for finding in task.result()]


def endpoints(policies: list[Policy]) -> Mapping[str, list[Policy]]:
    """Origin → the policies that need it; placeholders are reported by the check of the configuration."""
    found: dict[str, list[Policy]] = {}
    for policy in policies:
        urls = [str(url) for url in (policy.parameters.get("url"), *(policy.parameters.get("urls") or ())) if url]
        urls += [witness.url for witness in policy.witnesses if witness.url]
        for url in urls:
            parts = urlsplit(url)
            if not (parts.hostname or "").endswith(PLACEHOLDER):
                found.setdefault(f"{parts.scheme}://{parts.netloc}", []).append(policy)
    return found


async def _of_endpoint(place: Installation, check: str, url: str, policies: list[Policy]) -> list[Finding]:
    """The finding for an origin that does not answer."""
    try:
        await place.http.send(Call(f"{url}/", CALL_SECONDS))
    except BackendError as error:
        found = unreachable(check, f"an address of {names_of(policies)}", url, "parameters", error)
        remedy = f"curl -si --max-time 5 {url}/   # start it, or correct its address in {place.settings.policies_file}"
        return [Finding(severity_of(policies), check, found.problem, found.evidence, remedy)]
    return []


async def check_database(place: Installation, check: str) -> list[Finding]:
    """Whether the remediator may read idle sessions in the product's database, if a policy needs them."""
    needing = [policy for policy in place.rungs() if Need.IDLE_SESSIONS in ACTIONS[policy.action].needs]
    if not needing:
        return []
    if place.settings.database is None:
        problem = "policies end idle sessions of the database, but no database is configured: their plans are refused"
        address = "postgresql://controlcore_remediator@HOST:5432/control_core_db"
        remedy = f"add to {place.place}: database: {{url: '{address}', password_file: PATH}}"
        return [Finding(severity_of(needing), check, problem, f"policies {names_of(needing)}", remedy)]
    async with opened_session(place.settings.database) as session:
        fact = await read_idle_sessions(session, NONE_SECONDS, place.settings.database.timeout_seconds)
    if fact.value is not None:
        return []
    target = PostgresAddress.parse(place.settings.database.url).target()
    return [unseen_sessions(place, check, needing, fact.problem, target)]


def unseen_sessions(
    place: Installation, check: str, policies: list[Policy], why: str, target: PostgresTarget
) -> Finding:
    """The finding for a database that did not answer; `why` begins with the reason."""
    setting = f"database.url in {place.place}"
    others = f"set {setting} to the product's database; list the databases with: {target.list_databases}"
    if NO_DATABASE in why:
        problem, remedy = "the configured database does not exist", others
    elif why.startswith((f"{Reason.PERMISSION}:", f"{Reason.MISSING}:")):
        problem = "the database does not let the remediator read idle sessions"
        grants = f"{place.command} grants --role {quote(target.user)} | psql -d {quote(target.database)}"
        remedy = f"{grants}   # as its owner; if the API's role is not postgres: --product-role NAME\nor {others}"
    else:
        problem = "the database does not answer"
        remedy = (
            f"correct database.url and database.password_file in {place.place}, or allow this host to connect to the "
            "server"
        )
    return Finding(severity_of(policies), check, problem, f"{why}; {_who(policies)}", remedy)
