"""The few calls that the stand-in makes to a Kubernetes API server."""

from __future__ import annotations

import base64
import json
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import aiohttp
import yaml

from tools.slowness import scaled

REQUEST_TIMEOUT_SECONDS = 10.0
WATCH_SECONDS = 60
LINE_BYTES = 2**20

Object = dict[str, object]


class ClusterError(RuntimeError):
    """The API server refused or could not be reached; `status` is the HTTP status, 0 without an answer."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the status and the API server's message."""
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is and how to speak to it."""

    server: str
    tls: ssl.SSLContext | None
    token: str | None


def _blob(entry: Mapping[str, str], name: str, folder: Path) -> str | None:
    """Return the path of a kubeconfig's `name` file, writing `name-data` to a file in the folder first."""
    if data := entry.get(f"{name}-data"):
        path = folder / name
        path.write_bytes(base64.b64decode(data))
        return str(path)
    return entry.get(name)


def read_kubeconfig(path: Path) -> Access:
    """Read the current context of a kubeconfig: certificate authority, client certificate or token."""
    config = yaml.safe_load(path.read_text())
    context = next(each["context"] for each in config["contexts"] if each["name"] == config["current-context"])
    cluster = next(each["cluster"] for each in config["clusters"] if each["name"] == context["cluster"])
    user = next(each["user"] for each in config["users"] if each["name"] == context["user"])
    tls = None
    if cluster["server"].startswith("https:"):
        with tempfile.TemporaryDirectory() as folder:
            tls = ssl.create_default_context(cafile=_blob(cluster, "certificate-authority", Path(folder)))
            certificate = _blob(user, "client-certificate", Path(folder))
            if certificate:
                tls.load_cert_chain(certificate, _blob(user, "client-key", Path(folder)))
        if cluster.get("insecure-skip-tls-verify"):
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
    return Access(cluster["server"].rstrip("/"), tls, user.get("token"))


class Cluster:
    """A connection to one API server; use as an async context manager."""

    def __init__(self, access: Access) -> None:
        """Remember the access; the session opens on entry."""
        self._access = access
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._access.token}"} if self._access.token else {}
        # A request that was given up leaves a TLS connection open until the server agrees to end it. The
        # session's end closes such connections only on request; asyncio does so by itself since 3.12.7.
        connector = aiohttp.TCPConnector(
            ssl=self._access.tls if self._access.tls is not None else True,
            enable_cleanup_closed=sys.version_info < (3, 12, 7),
        )
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, read_bufsize=LINE_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("enter the cluster's context first")
        return self._session

    async def call(self, method: str, path: str, body: object = None, media: str = "application/json") -> Object:
        """Make one request and return the object; raises `ClusterError`."""
        timeout = aiohttp.ClientTimeout(total=scaled(REQUEST_TIMEOUT_SECONDS))
        data = None if body is None else json.dumps(body)
        try:
            async with self._open_session().request(
                method, self._access.server + path, data=data, headers={"Content-Type": media}, timeout=timeout
            ) as answer:
                content = await answer.read()
                if answer.status >= 400:
                    raise ClusterError(answer.status, content.decode(errors="replace")[:500])
                return cast("Object", json.loads(content))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ClusterError(0, str(error) or "timeout") from error

    async def watch(self, path: str, resource_version: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield (ADDED | MODIFIED | DELETED, object) until the API server ends the watch; raises `ClusterError`."""
        query = f"?watch=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={resource_version}"
        timeout = aiohttp.ClientTimeout(total=WATCH_SECONDS + scaled(REQUEST_TIMEOUT_SECONDS))
        try:
            async with self._open_session().get(self._access.server + path + query, timeout=timeout) as answer:
                if answer.status >= 400:
                    raise ClusterError(answer.status, (await answer.text())[:500])
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ClusterError(int(event["object"].get("code", 0)), str(event["object"].get("message")))
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ClusterError(0, str(error) or "timeout") from error

    async def patch_pod_status(self, pod: Object, status: Object) -> None:
        """Merge a status into the pod of exactly this uid; raises `ClusterError` 404 or 409 when it is gone."""
        metadata = cast("Mapping[str, str]", pod["metadata"])
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        body = {"metadata": {"uid": metadata["uid"]}, "status": status}
        await self.call("PATCH", path, body, "application/strategic-merge-patch+json")
