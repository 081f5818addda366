"""metrics.k8s.io for a cluster with simulated kubelets: HPAs and `kubectl top` see the CPU that we set.

The API server's aggregator queries this small TLS server, found through a Service of type ExternalName: endpoints may
not be loopback addresses, an external name may.
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.parse
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.kubernetes.client import ApiError
from tools.servers.ports import free_port
from tools.servers.process import make_folder, remove_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from tools.servers.kubernetes.client import Manifest
    from tools.servers.kubernetes.cluster import Cluster

GROUP_VERSION = "metrics.k8s.io/v1beta1"
API_ROOT = f"/apis/{GROUP_VERSION}"
API_SERVICE_PATH = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
SERVICE_NAMESPACE = "kube-system"
SERVICE_NAME = "controlcore-test-metrics"
# Short: the HPA distrusts a figure whose window began before the pod turned Ready.
WINDOW = "1s"
MEMORY = "64Mi"


class MetricsApi:
    """Serves CPU per pod for one cluster; pods without a figure are left out, as a real metrics server does."""

    def __init__(self, cluster: Cluster, usage: Callable[[str, str], float | None] | None = None) -> None:
        """`usage` (namespace, pod name -> CPU in millicores, None for unknown) is called when `set_usage` set nothing.

        The calls come from the server's threads.
        """
        self._cluster = cluster
        self._usage = usage
        self._figures: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def set_usage(self, namespace: str, millicores: Mapping[str, float]) -> None:
        """Replaces the figures of a namespace: pod name -> CPU in millicores."""
        with self._lock:
            kept = {key: value for key, value in self._figures.items() if key[0] != namespace}
            self._figures = kept | {(namespace, name): value for name, value in millicores.items()}

    def open(self) -> Self:
        """Starts the server, registers it and returns when the API server reaches it."""
        self._folder = make_folder("metrics")
        pair = make_serving_pair(self._folder, "metrics")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pair.certificate_path, pair.key_path)
        self.port = free_port()
        self._server = _Server(("127.0.0.1", self.port), tls, self.answer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="metrics-api")
        self._thread.start()
        try:
            self._register()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Unregisters and ends the server."""
        try:
            self._unregister()
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            remove_folder(self._folder)

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """The HTTP status and body for an address below /apis/metrics.k8s.io/v1beta1."""
        parts = urllib.parse.urlsplit(path)
        words = parts.path.removeprefix(API_ROOT).strip("/").split("/")
        selector = urllib.parse.parse_qs(parts.query).get("labelSelector", [""])[0]
        match words:
            case [""]:
                return 200, _describe_resources()
            case ["pods"]:
                return 200, self._list("/api/v1/pods", selector)
            case ["namespaces", namespace, "pods"]:
                return 200, self._list(f"/api/v1/namespaces/{namespace}/pods", selector)
            case ["namespaces", namespace, "pods", name]:
                return self._find(namespace, name)
            case ["nodes"]:
                return 200, {"kind": "NodeMetricsList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": []}
            case _:
                return 404, _refuse(404, "NotFound", f"no {path}")

    def _list(self, pods_path: str, selector: str) -> dict[str, Any]:
        query = f"?{urllib.parse.urlencode({'labelSelector': selector})}" if selector else ""
        pods = self._cluster.client.items(pods_path + query)
        items = [found for found in map(self._measure, pods) if found is not None]
        return {"kind": "PodMetricsList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": items}

    def _find(self, namespace: str, name: str) -> tuple[int, dict[str, Any]]:
        try:
            pod = self._cluster.client.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        except ApiError as error:
            return error.code, _refuse(error.code, error.reason, error.message)
        found = self._measure(pod)
        if found is None:
            return 404, _refuse(404, "NotFound", f"no figure for pod {namespace}/{name}")
        return 200, {"kind": "PodMetrics", "apiVersion": GROUP_VERSION, **found}

    def _measure(self, pod: Manifest) -> dict[str, Any] | None:
        metadata = pod["metadata"]
        if pod.get("status", {}).get("phase") != "Running":
            return None
        millicores = self._find_usage(metadata["namespace"], metadata["name"])
        if millicores is None:
            return None
        # The first container carries the whole figure: an HPA adds the containers up.
        shares = [millicores] + [0.0] * (len(pod["spec"]["containers"]) - 1)
        return {
            "metadata": {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata},
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "window": WINDOW,
            "containers": [
                {"name": container["name"], "usage": {"cpu": f"{round(share * 1e6)}n", "memory": MEMORY}}
                for container, share in zip(pod["spec"]["containers"], shares, strict=True)
            ],
        }

    def _find_usage(self, namespace: str, name: str) -> float | None:
        with self._lock:
            figure = self._figures.get((namespace, name))
        if figure is None and self._usage is not None:
            return self._usage(namespace, name)
        return figure

    def _register(self) -> None:
        service = {"namespace": SERVICE_NAMESPACE, "name": SERVICE_NAME, "port": self.port}
        self._cluster.apply(
            [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"namespace": SERVICE_NAMESPACE, "name": SERVICE_NAME},
                    "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": self.port}]},
                },
                {
                    "apiVersion": "apiregistration.k8s.io/v1",
                    "kind": "APIService",
                    "metadata": {"name": "v1beta1.metrics.k8s.io"},
                    "spec": {
                        "group": "metrics.k8s.io",
                        "version": "v1beta1",
                        "service": service,
                        "insecureSkipTLSVerify": True,
                        "groupPriorityMinimum": 100,
                        "versionPriority": 100,
                    },
                },
            ]
        )
        self._cluster.client.wait_for(API_SERVICE_PATH, _is_available)

    def _unregister(self) -> None:
        self._cluster.client.delete(API_SERVICE_PATH)
        self._cluster.client.delete(f"/api/v1/namespaces/{SERVICE_NAMESPACE}/services/{SERVICE_NAME}")

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    """Wraps each connection in TLS inside its own thread: a slow handshake delays no other client."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], tls: ssl.SSLContext, answer: Callable[[str], tuple[int, dict[str, Any]]]
    ) -> None:
        self.answer = answer
        self._tls = tls
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            with self._tls.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)
        except OSError:
            # The API server closes connections it keeps idle; nothing is lost with them.
            return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        server = self.server
        if not isinstance(server, _Server):
            raise TypeError("served by _Server only")
        try:
            status, body = server.answer(self.path)
        except (ApiError, OSError) as error:
            status, body = 503, _refuse(503, "ServiceUnavailable", str(error))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Logs nothing: the API server sends a request every few seconds."""


def _describe_resources() -> dict[str, Any]:
    verbs = ["get", "list"]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": GROUP_VERSION,
        "resources": [
            {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics", "verbs": verbs},
            {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": verbs},
        ],
    }


def _refuse(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def _is_available(service: Manifest) -> bool:
    conditions = service.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Available" and condition["status"] == "True" for condition in conditions)
