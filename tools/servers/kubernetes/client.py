"""A small synchronous Kubernetes client over urllib, for tests, demo and benchmarks; safe to use from threads."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from tools.slowness import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

# A Kubernetes object as the API sends it; its fields are read by key where they are needed.
Manifest: TypeAlias = dict[str, Any]
# What `apply` takes: YAML text, one object, or several.
Manifests: TypeAlias = "str | Mapping[str, Any] | Iterable[Mapping[str, Any]]"

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
FIELD_OWNER = "controlcore-test"
POLL_SECONDS = 0.1


class ApiError(RuntimeError):
    """The API server refused a request: HTTP `code`, its `reason` (NotFound, Conflict, …) and message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach an API server: its address, the trusted CA, and our credentials."""

    server: str
    certificate_authority: Path
    token: str | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of the API: its folder in the address and whether it lives in namespaces."""

    group_version: str
    plural: str
    is_namespaced: bool

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """The address of the collection, or of the one object."""
        root = f"/api/{self.group_version}" if "/" not in self.group_version else f"/apis/{self.group_version}"
        place = f"/namespaces/{namespace or 'default'}" if self.is_namespaced else ""
        return f"{root}{place}/{self.plural}" + (f"/{name}" if name else "")


class KubernetesClient:
    """Reads, applies, patches and deletes objects of one API server with one identity."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._tls = ssl.create_default_context(cafile=str(access.certificate_authority))
        if access.client_certificate is not None:
            self._tls.load_cert_chain(access.client_certificate, access.client_key)
        self._resources: dict[tuple[str, str], Resource] = {}
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        timeout_seconds: float = 10.0,
    ) -> str:
        """Sends one request and returns the answer's text; ApiError when it is refused, OSError when unreachable."""
        request = urllib.request.Request(
            self.access.server + path, method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Content-Type", content_type)
        if self.access.token is not None:
            request.add_header("Authorization", f"Bearer {self.access.token}")
        try:
            with urllib.request.urlopen(request, timeout=scaled(timeout_seconds), context=self._tls) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error.code, error.read().decode(errors="replace")) from error

    def get(self, path: str) -> Manifest:
        """One object, or a list with `items`."""
        return _parse(self.request("GET", path))

    def items(self, path: str) -> list[Manifest]:
        """The objects of a collection; the path may carry ?labelSelector=…."""
        found = self.get(path).get("items")
        return list(found) if isinstance(found, list) else []

    def post(self, path: str, body: object) -> Manifest:
        """Creates an object or calls a sub-resource."""
        return _parse(self.request("POST", path, body))

    def put(self, path: str, body: object) -> Manifest:
        """Replaces an object; with metadata.resourceVersion it is refused (409) if someone else was faster."""
        return _parse(self.request("PUT", path, body))

    def patch(self, path: str, body: object, content_type: str = MERGE_PATCH) -> Manifest:
        """Changes an object (or its /status, /scale) by merge patch, or by the kind of patch named."""
        return _parse(self.request("PATCH", path, body, content_type=content_type))

    def delete(self, path: str) -> bool:
        """Deletes an object; False when it was gone already."""
        try:
            self.request("DELETE", path, {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    def apply(self, manifests: Manifests, *, is_dry_run: bool = False) -> list[Manifest]:
        """Creates objects by server-side apply, in the given order; YAML text may hold several.

        A dry run goes through the same validation and admission and stores nothing.
        """
        query = f"?fieldManager={FIELD_OWNER}&force=true" + ("&dryRun=All" if is_dry_run else "")
        return [
            self.patch(self.path_of(manifest) + query, manifest, APPLY_PATCH) for manifest in read_manifests(manifests)
        ]

    def path_of(self, manifest: Mapping[str, Any]) -> str:
        """The address of the object a manifest describes, from the server's own list of kinds."""
        metadata = manifest["metadata"]
        resource = self._find_resource(str(manifest["apiVersion"]), str(manifest["kind"]))
        return resource.path(metadata.get("namespace"), metadata["name"])

    def wait_for(self, path: str, is_reached: Callable[[Manifest], bool], timeout_seconds: float = 30.0) -> Manifest:
        """Returns the object once it satisfies the condition; TimeoutError with its last state otherwise.

        An object that does not exist yet is waited for.
        """
        bound = scaled(timeout_seconds)
        deadline = time.monotonic() + bound
        last: Manifest = {}
        while time.monotonic() < deadline:
            try:
                last = self.get(path)
            except ApiError as error:
                if error.code != 404:
                    raise
            else:
                if is_reached(last):
                    return last
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{path} after {bound:g} s: {json.dumps(last.get('status', last))[:2000]}")

    def wait_gone(self, path: str, timeout_seconds: float = 30.0) -> None:
        """Returns once the object does not exist any more."""
        bound = scaled(timeout_seconds)
        deadline = time.monotonic() + bound
        while time.monotonic() < deadline:
            try:
                self.get(path)
            except ApiError as error:
                if error.code == 404:
                    return
                raise
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{path} still exists after {bound:g} s")

    def _find_resource(self, group_version: str, kind: str) -> Resource:
        key = (group_version, kind)
        with self._lock:
            if key not in self._resources:
                # Kinds of a CustomResourceDefinition appear while we run: ask again for what is not known.
                self._resources.update(self._discover(group_version))
            if key not in self._resources:
                raise LookupError(f"the API server knows no {kind} in {group_version}")
            return self._resources[key]

    def _discover(self, group_version: str) -> dict[tuple[str, str], Resource]:
        root = f"/api/{group_version}" if "/" not in group_version else f"/apis/{group_version}"
        listed = self.get(root).get("resources")
        return {
            (group_version, str(entry["kind"])): Resource(group_version, str(entry["name"]), bool(entry["namespaced"]))
            for entry in (listed if isinstance(listed, list) else [])
            if "/" not in str(entry["name"])
        }


def read_manifests(manifests: Manifests) -> list[Manifest]:
    """The objects of a YAML text with any number of documents, of one mapping, or of several."""
    if isinstance(manifests, str):
        return [document for document in yaml.safe_load_all(manifests) if document]
    if isinstance(manifests, dict):
        return [manifests]
    return [dict(manifest) for manifest in manifests if not isinstance(manifest, str)]


def make_kubeconfig(access: Access, namespace: str = "default") -> str:
    """A kubeconfig as YAML text, complete in itself: authority and credentials are inside."""
    user: dict[str, str] = {}
    if access.token is not None:
        user["token"] = access.token
    if access.client_certificate is not None and access.client_key is not None:
        user["client-certificate-data"] = _encode_file(access.client_certificate)
        user["client-key-data"] = _encode_file(access.client_key)
    cluster = {"server": access.server, "certificate-authority-data": _encode_file(access.certificate_authority)}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
            "current-context": "test",
        },
        sort_keys=False,
    )


def _encode_file(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _parse(text: str) -> Manifest:
    parsed = json.loads(text) if text else {}
    return parsed if isinstance(parsed, dict) else {}


def _refusal(code: int, text: str) -> ApiError:
    try:
        status = json.loads(text)
    except ValueError:
        return ApiError(code, "Unknown", text[:500])
    return ApiError(code, str(status.get("reason", "Unknown")), str(status.get("message", text[:500])))
