"""A proxy to a real API server that fails as a test says.

It terminates TLS with its own certificate and passes everything else on, the caller's token included: a kubeconfig for
it differs from the cluster's in address and authority only.
"""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import yaml

from tests.fakes.faulty_proxy import Front
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.kubernetes.cluster import Cluster


class ApiFront(Front):
    """One front of a cluster's API server."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        authority = str(cluster.access.certificate_authority)
        super().__init__(cluster.server, ssl.create_default_context(cafile=authority))
        self._cluster = cluster
        self._pair = make_serving_pair(folder, "front")

    def own_tls(self) -> ssl.SSLContext | None:
        """A context with the front's own certificate."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._pair.certificate_path, self._pair.key_path)
        return tls

    def kubeconfig(self, path: Path) -> Path:
        """The cluster's kubeconfig for its administrator, with this way to it."""
        return self.redirect(self._cluster.kubeconfig_path, path)

    def redirect(self, kubeconfig: Path, path: Path) -> Path:
        """Writes a kubeconfig that differs from the one given in its way only."""
        config = yaml.safe_load(kubeconfig.read_text())
        authority = base64.b64encode(self._pair.certificate_path.read_bytes()).decode()
        for entry in config["clusters"]:
            entry["cluster"] = {"server": self.url, "certificate-authority-data": authority}
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path
