"""The adapter against a loopback server that records requests and plays answers; the real API has its own tests."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from aiohttp import web

from chassis.errors import BackendError, ConfigError, ConflictError, PermanentError, Reason, Redact, TransientError
from chassis.http.server import serving
from chassis.kubernetes.client import MAX_BODY_BYTES, KubernetesClient, PatchKind, WrittenObject
from chassis.kubernetes.paths import deployment_path, pod_log_path, pods_path
from tools.slowness import scaled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "hunter2-token"
PATH = deployment_path("shop", "api")
FOREIGN_BODIES: tuple[object, ...] = (
    {"error": "x", "details": "upstream down"},
    {"details": [1]},
    {"details": {"causes": ["a"]}},
    {"details": {"causes": 1}},
    {"details": {"causes": {"field": "metadata.uid"}}},
    {"message": ["a"], "details": {"causes": [{"field": ["metadata.uid"]}]}},
)
"""R3: what a proxy in front of the API answers with; none of them is a Status."""
FOREIGN_LISTS: tuple[object, ...] = (
    {"items": {"a": 1}},
    {"items": 1},
    {"items": [], "metadata": "a"},
    {"items": [], "metadata": {"continue": {"a": 1}}},
)


@dataclass
class Api:
    """Plays the answers in order (the last one again and again) and keeps the requests."""

    answers: list[web.Response | None] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append({
            "method": request.method,
            "path": request.raw_path.partition("?")[0],
            "query": dict(request.query),
            "token": request.headers.get("Authorization"),
            "type": request.headers.get("Content-Type"),
            "body": json.loads(body) if body else None,
        })  # fmt: skip
        found = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if found is None:
            await self.is_over.wait()
            return web.Response()
        return web.Response(status=found.status, body=found.body, headers=found.headers)


def says(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)


@asynccontextmanager
async def opened(folder: Path, api: Api, redact: Redact = str) -> AsyncIterator[KubernetesClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    async with serving(app, "127.0.0.1", 0, drain_seconds=0.1) as (host, port):
        async with KubernetesClient.opened(written(folder, f"http://{host}:{port}/"), redact=redact) as client:
            yield client
        api.is_over.set()


def written(folder: Path, server: str) -> Path:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


async def failure_of(
    folder: Path, answer: web.Response | None, timeout_seconds: float = 5.0, redact: Redact = str
) -> BackendError:
    async with opened(folder, Api([answer]), redact) as client:
        with pytest.raises(BackendError) as caught:
            await client.get(PATH, timeout_seconds=timeout_seconds)
    return caught.value


def status(code: int, message: str = "", causes: tuple[str, ...] = ()) -> web.Response:
    details = {"causes": [{"field": cause} for cause in causes]}
    return says({"kind": "Status", "code": code, "message": message, "details": details}, status=code)


async def test_get_sends_the_token_and_returns_the_object(tmp_path: Path) -> None:
    api = Api([says({"kind": "Deployment"})])
    async with opened(tmp_path, api) as client:
        assert await client.get(PATH, timeout_seconds=5) == {"kind": "Deployment"}
    (request,) = api.requests
    assert (request["method"], request["path"]) == ("GET", "/apis/apps/v1/namespaces/shop/deployments/api")
    assert request["token"] == f"Bearer {TOKEN}"


async def test_list_follows_pages_with_its_selectors(tmp_path: Path) -> None:
    api = Api(
        [
            says({"items": [{"n": 1}, {"n": 2}], "metadata": {"continue": "next/page="}}),
            says({"items": [{"n": 3}], "metadata": {}}),
        ]
    )
    async with opened(tmp_path, api) as client:
        found = await client.list(
            pods_path("shop"),
            label_selector="app in (a,b)",
            field_selector="spec.nodeName=x",
            timeout_seconds=5,
        )
    assert found == [{"n": 1}, {"n": 2}, {"n": 3}]
    first, second = (request["query"] for request in api.requests)
    assert first == {"limit": "250", "labelSelector": "app in (a,b)", "fieldSelector": "spec.nodeName=x"}
    assert second == {**first, "continue": "next/page="}


async def test_list_of_nothing_is_empty(tmp_path: Path) -> None:
    async with opened(tmp_path, Api([says({"items": None})])) as client:
        assert await client.list(pods_path("shop"), timeout_seconds=5) == []


@pytest.mark.parametrize("body", FOREIGN_LISTS)
async def test_list_of_another_shape_is_malformed(tmp_path: Path, body: object) -> None:
    """R3: whatever is answered is a BackendError, or the engine sees a fault of our own."""
    async with opened(tmp_path, Api([says(body)])) as client:
        with pytest.raises(PermanentError) as caught:
            await client.list(pods_path("shop"), timeout_seconds=5)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        (PatchKind.STRATEGIC, "application/strategic-merge-patch+json"),
        (PatchKind.MERGE, "application/merge-patch+json"),
        (PatchKind.JSON, "application/json-patch+json"),
        (PatchKind.APPLY, "application/apply-patch+yaml"),
    ],
)
async def test_patch_names_its_kind_and_manager(tmp_path: Path, kind: PatchKind, content_type: str) -> None:
    api = Api([says({})])
    async with opened(tmp_path, api) as client:
        await client.patch(PATH, {"spec": {}}, kind=kind, field_manager="us", timeout_seconds=5)
    (request,) = api.requests
    assert (request["method"], request["type"], request["body"]) == ("PATCH", content_type, {"spec": {}})
    assert request["query"] == {"fieldManager": "us", "fieldValidation": "Strict"}


async def test_dry_run_says_so_in_every_write(tmp_path: Path) -> None:
    api = Api([says({})])
    async with opened(tmp_path, api) as client:
        await client.patch(PATH, {}, kind=PatchKind.MERGE, field_manager="us", dry_run=True, timeout_seconds=5)
        await client.create(PATH, {}, field_manager="us", dry_run=True, timeout_seconds=5)
    assert [(request["method"], request["query"]["dryRun"]) for request in api.requests] == [
        ("PATCH", "All"),
        ("POST", "All"),
    ]


async def test_text_passes_its_query(tmp_path: Path) -> None:
    api = Api([web.Response(body=b"line\n\xff")])
    async with opened(tmp_path, api) as client:
        path = pod_log_path("shop", "api-1")
        assert (
            await client.text(path, query={"tailLines": "9", "previous": "true"}, timeout_seconds=5) == "line\n\ufffd"
        )
    assert api.requests[0]["query"] == {"tailLines": "9", "previous": "true"}


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (status(400), PermanentError, Reason.MALFORMED),
        (status(401), PermanentError, Reason.AUTH),
        (status(403), PermanentError, Reason.PERMISSION),
        (status(404), PermanentError, Reason.MISSING),
        (status(409), ConflictError, Reason.CONFLICT),
        (status(410), TransientError, Reason.HTTP_4XX),
        (status(422), PermanentError, Reason.MALFORMED),
        (status(422, causes=("spec.replicas", "metadata.uid")), ConflictError, Reason.CONFLICT),
        (status(429), TransientError, Reason.OVERLOADED),
        (status(500), TransientError, Reason.HTTP_5XX),
        (status(504), TransientError, Reason.HTTP_5XX),
        (web.Response(status=503, body=b"<html>"), TransientError, Reason.HTTP_5XX),
        (web.Response(body=b"<html>"), PermanentError, Reason.MALFORMED),
        (web.Response(body=b"[" * 200_000), PermanentError, Reason.MALFORMED),
        (says([1]), PermanentError, Reason.MALFORMED),
        *((says(body, 502), TransientError, Reason.HTTP_5XX) for body in FOREIGN_BODIES),
        *((says(body, 422), PermanentError, Reason.MALFORMED) for body in FOREIGN_BODIES),
    ],
    ids=lambda value: str(value.status) if isinstance(value, web.Response) else None,
)
async def test_refusal_has_its_reason(
    tmp_path: Path, answer: web.Response, kind: type[BackendError], reason: Reason
) -> None:
    error = await failure_of(tmp_path, answer)
    assert (type(error), error.reason) == (kind, reason)


DENIED = "deployments.apps \"api\" is forbidden: ValidatingAdmissionPolicy 'own' with binding 'own' denied request: "


@pytest.mark.parametrize("code", [403, 413, 422])
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (DENIED + "not this one", Reason.PERMISSION),
        (DENIED.replace(" with binding 'own'", "") + "not this one", Reason.PERMISSION),
        (DENIED + "expression 'object.spec.x == 1' resulted in error: no such key: x", Reason.INTERNAL),
        (DENIED + "failed to configure binding: no params found", Reason.INTERNAL),
        (DENIED.replace(" with binding 'own'", "") + "failed to configure policy: no match", Reason.INTERNAL),
    ],
)
async def test_denial_by_an_admission_policy_is_known_by_its_words(
    tmp_path: Path, code: int, said: str, reason: Reason
) -> None:
    """Its status is whatever the policy's author chose."""
    error = await failure_of(tmp_path, status(code, said))
    assert (type(error), error.reason) == (PermanentError, reason)


async def test_refusal_carries_the_apis_sentence_bounded(tmp_path: Path) -> None:
    error = await failure_of(tmp_path, status(403, 'deployments.apps "api" is forbidden: ' + "x" * 5000))
    assert str(error).startswith('HTTP status 403: deployments.apps "api" is forbidden')
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('env[0]: Duplicate value: {"name":"A","value":"hunter2"}', "env[0]: Duplicate value: …"),
        (
            'template: Invalid value: core.PodTemplateSpec{Env:[]core.EnvVar{core.EnvVar{Value:"hunter2"}}}: immutable',
            "template: Invalid value: …: immutable",
        ),
        ('spec: Invalid value: {"env":[{"value":"hunter2"}]}: immutable', "spec: Invalid value: …: immutable"),
        ('spec: Invalid value: &core.Spec{X:(*string)(0xc0), Y:"hunter2"}', "spec: Invalid value: …"),
        ('spec: Invalid value: map[string]string{"a":"hunter2"}: no', "spec: Invalid value: …: no"),
        ('spec: Invalid value: {"env":[{"value":"hunter2', "spec: Invalid value: …"),
        ('spec: Invalid value: "hunter2', "spec: Invalid value: …"),
        (
            'spec: Unsupported value: "hunter2": supported values: "a"',
            'spec: Unsupported value: …: supported values: "a"',
        ),
        ("spec.replicas: Invalid value: -1: must be positive", "spec.replicas: Invalid value: -1: must be positive"),
    ],
)
async def test_refusal_does_not_repeat_a_refused_value_of_any_kind(tmp_path: Path, said: str, told: str) -> None:
    """M7: texts are in quotes, other values are JSON or Go."""
    assert str(await failure_of(tmp_path, status(422, said))) == f"HTTP status 422: {told}"


@pytest.mark.parametrize("place", [0, 280, 295, 2000])
async def test_what_is_said_is_redacted_before_it_is_cut(tmp_path: Path, place: int) -> None:
    """M7: a webhook says what its author likes, and half a secret is a form that nothing finds."""
    message = "x" * place + ' value "hunter2hunter2"' + "x" * 5000
    redact = partial(re.sub, '"hunter2hunter2"', "[removed]")
    error = await failure_of(tmp_path, status(400, message), redact=redact)
    assert "hunter" not in str(error)
    assert ("[removed]" in str(error)) is (place < 290)
    answer = says({})
    answer.headers["Warning"] = f'299 - "{"x" * (place % 1000)} {json.dumps("hunter2hunter2")[1:-1]}"'
    async with opened(tmp_path, Api([answer]), partial(re.sub, "hunter2hunter2", "[removed]")) as client:
        found = await client.patch(PATH, {}, kind=PatchKind.MERGE, field_manager="m", timeout_seconds=5)
    assert isinstance(found, WrittenObject)
    assert "hunter" not in found.warnings[0]


async def test_refusal_does_not_repeat_the_refused_value(tmp_path: Path) -> None:
    """The API quotes the whole object, its environment variables included."""
    quoted = json.dumps(json.dumps({"env": [{"name": "PASSWORD", "value": "hunter2"}]}))
    message = f'"" is invalid: patch: Invalid value: {quoted}: strict decoding error: unknown field "spec.x"'
    error = await failure_of(tmp_path, status(422, message))
    assert str(error).endswith('Invalid value: …: strict decoding error: unknown field "spec.x"')
    assert "hunter2" not in str(error)


async def test_redirect_is_not_followed(tmp_path: Path) -> None:
    """Otherwise the token would be sent to the address in the answer."""
    api = Api([web.Response(status=307, headers={"Location": "/elsewhere"})])
    async with opened(tmp_path, api) as client:
        with pytest.raises(PermanentError) as caught:
            await client.get(PATH, timeout_seconds=5)
    assert caught.value.reason is Reason.HTTP_3XX
    assert len(api.requests) == 1


async def test_silent_api_costs_no_more_than_the_deadline(tmp_path: Path) -> None:
    started = time.monotonic()
    error = await failure_of(tmp_path, None, timeout_seconds=0.3)
    assert error.reason is Reason.TIMEOUT
    assert time.monotonic() - started < scaled(1.5)


async def test_deadline_is_for_all_pages_together(tmp_path: Path) -> None:
    api = Api([says({"items": [], "metadata": {"continue": "more"}})])
    async with opened(tmp_path, api) as client:
        with pytest.raises(TransientError) as caught:
            await client.list(pods_path("shop"), timeout_seconds=0.3)
    assert caught.value.reason is Reason.TIMEOUT
    assert len(api.requests) > 1


async def test_answer_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    error = await failure_of(tmp_path, web.Response(body=b"x" * (MAX_BODY_BYTES + 1)))
    assert error.reason is Reason.MALFORMED


class Large(Api):
    """Holds forty objects of a quarter of a MiB each, and returns the requested number at a time."""

    async def answer(self, request: web.Request) -> web.Response:
        start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
        items = [{"metadata": {"name": f"p{n}"}, "x": "x" * 262_144} for n in range(start, min(40, start + limit))]
        following = str(start + limit) if start + limit < 40 else ""
        return web.json_response({"items": items, "metadata": {"continue": following}})


async def test_page_beyond_the_limit_is_asked_for_in_halves(tmp_path: Path) -> None:
    """R10: the size of a page is other people's data."""
    api = Large()
    async with opened(tmp_path, api) as client:
        items = await client.list(pods_path("shop"), timeout_seconds=20)
    assert [item["metadata"]["name"] for item in items] == [f"p{number}" for number in range(40)]


async def test_list_beyond_the_limit_names_the_setting(tmp_path: Path) -> None:
    """R10."""
    async with opened(tmp_path, Large()) as client:
        client._max_list_bytes = 1024 * 1024
        with pytest.raises(PermanentError, match=r"kubernetes\.max_list_bytes"):
            await client.list(pods_path("shop"), timeout_seconds=20)


async def test_api_that_is_away_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, Api([says({})])) as client:
        pass
    async with KubernetesClient.opened(tmp_path / "kubeconfig") as client:
        with pytest.raises(TransientError) as caught:
            await client.get(PATH, timeout_seconds=5)
    assert caught.value.reason is Reason.REFUSED


@pytest.mark.parametrize("content", [None, "", "{", "a: 1", "- 1"])
async def test_unusable_kubeconfig_names_the_setting(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        async with KubernetesClient.opened(path):
            pass
    assert caught.value.faults[0].path == "kubernetes.kubeconfig"


async def test_no_service_account_is_a_fault_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError) as caught:
        async with KubernetesClient.opened(None):
            pass
    assert str(caught.value) == (
        "kubernetes: the credentials cannot be used: this is not a pod (KUBERNETES_SERVICE_HOST and "
        "KUBERNETES_SERVICE_PORT are not set); outside a cluster set kubernetes.kubeconfig to a kubeconfig file"
    )


async def test_rendered_client_hides_the_token(tmp_path: Path) -> None:
    async with opened(tmp_path, Api([status(401, "no")])) as client:
        with pytest.raises(PermanentError) as caught:
            await client.get(PATH, timeout_seconds=5)
        assert TOKEN not in f"{client!r} {caught.value} {caught.value!r}"


async def test_warnings_beside_the_answer_to_a_write_are_returned(tmp_path):
    """R5: the header was ignored.

    One header may contain several warnings, and a quotation mark in a text is escaped.
    """
    answer = says({"kind": "Deployment"})
    answer.headers.add("Warning", '299 - "would violate PodSecurity \\"restricted:latest\\": x", 299 - "old API"')
    answer.headers.add("Warning", '299 - "third"')
    api = Api([answer])
    body = {"metadata": {"name": "x"}}
    async with opened(tmp_path, api) as client:
        patched = await client.patch(
            PATH, body, kind=PatchKind.MERGE, field_manager="m", timeout_seconds=5.0, dry_run=True
        )
        created = await client.create(PATH, body, field_manager="m", timeout_seconds=5.0)
    expected = ('would violate PodSecurity "restricted:latest": x', "old API", "third")
    assert isinstance(patched, WrittenObject)
    assert isinstance(created, WrittenObject)
    assert (patched, patched.warnings, created.warnings) == ({"kind": "Deployment"}, expected, expected)


async def test_answer_without_warnings_has_none(tmp_path):
    async with opened(tmp_path, Api([says({})])) as client:
        patched = await client.patch(PATH, {}, kind=PatchKind.MERGE, field_manager="m", timeout_seconds=5.0)
    assert isinstance(patched, WrittenObject)
    assert patched.warnings == ()


@pytest.mark.looptime
async def test_kubeconfig_on_a_disk_that_hangs_is_a_fault(tmp_path: Path) -> None:
    place = tmp_path / "kubeconfig"
    os.mkfifo(place)  # opening it waits for a writer
    with pytest.raises(ConfigError, match="not read within 15 s"):
        async with KubernetesClient.opened(place):
            pass
    os.close(os.open(place, os.O_WRONLY))
