"""The processes of a Kubernetes control plane on loopback: etcd, API server, controllers, scheduler, kwok."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.install.build import locate
from tools.servers.kubernetes.certificates import make_serving_pair, make_signing_keys
from tools.servers.kubernetes.client import Access, KubernetesClient
from tools.servers.ports import free_network, free_port
from tools.servers.process import Command, Server
from tools.slowness import scaled

if TYPE_CHECKING:
    from tools.servers.kubernetes.certificates import KeyPair

STAGES_FOLDER = Path(__file__).parent / "kwok"
# Administrators by token: no certificate per user is needed, and the file lives in the cluster's own folder.
ADMIN_TOKEN = "loopback-test-administrator"  # noqa: S105 - a made-up credential of a throw-away cluster
ADMIN_GROUP = "system:masters"
NODE_LEASE_SECONDS = 40


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Settings that tests vary between clusters; all times in seconds."""

    node_count: int = 3
    # How often every HorizontalPodAutoscaler is evaluated; Kubernetes' own default is 15.
    hpa_sync_seconds: float = 2.0
    # How long an HPA remembers higher recommendations before it scales down; Kubernetes' own default is 300.
    hpa_downscale_stabilization_seconds: float = 300.0
    # How long the CPU figures of a young pod are distrusted; Kubernetes' own defaults are 300 and 30.
    hpa_cpu_initialization_seconds: float = 1.0
    hpa_initial_readiness_delay_seconds: float = 1.0
    # Stage files for kwok instead of `node.yaml` and `pod.yaml` of tools/servers/kubernetes/kwok.
    stage_paths: tuple[Path, ...] = (STAGES_FOLDER / "node.yaml", STAGES_FOLDER / "pod.yaml")
    # token -> (user name, groups), for identities that are not ServiceAccounts.
    extra_tokens: tuple[tuple[str, str, tuple[str, ...]], ...] = ()


class Etcd(Server):
    """The store; without fsync, because its folder is thrown away."""

    name = "etcd"

    def prepare(self) -> None:
        """Chooses the ports."""
        self.port, self.peer_port = free_port(), free_port()

    @property
    def url(self) -> str:
        """Where the API server finds it."""
        return f"http://127.0.0.1:{self.port}"

    def describe(self) -> Command:
        """One member that is its own cluster."""
        peer = f"http://127.0.0.1:{self.peer_port}"
        return Command(
            (
                *(str(locate("controlplane")), "etcd", "--name=only", f"--data-dir={self.folder / 'etcd'}"),
                *(f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}"),
                *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
                *(f"--initial-cluster=only={peer}", "--unsafe-no-fsync=true", "--log-level=warn"),
            ),
            grace_seconds=3.0,
        )

    def is_ready(self) -> bool:
        """Whether /health says so."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=scaled(1.0)) as answer:
                return int(answer.status) == 200
        except (OSError, urllib.error.URLError):
            return False


class ApiServer(Server):
    """The API server: RBAC, static tokens, ServiceAccount tokens by request, the default admission plug-ins."""

    name = "kube-apiserver"
    ready_timeout_seconds = 60.0

    def __init__(self, etcd: Etcd, options: ClusterOptions, folder: Path | None = None) -> None:
        super().__init__(folder)
        self._etcd = etcd
        self._options = options

    def prepare(self) -> None:
        """Writes certificates, signing keys and the token file."""
        self.port = free_port()
        self.pair: KeyPair = make_serving_pair(self.folder, "apiserver")
        self.signing_key_path, self._signing_public_path = make_signing_keys(self.folder, "serviceaccount")
        self._token_path = self.folder / "tokens.csv"
        rows = [(ADMIN_TOKEN, "administrator", (ADMIN_GROUP,)), *self._options.extra_tokens]
        lines = [f'{token},{user},{user},"{",".join(groups)}"' for token, user, groups in rows]
        self._token_path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._token_path.chmod(0o600)

    @property
    def access(self) -> Access:
        """How the administrator reaches it."""
        return Access(f"https://127.0.0.1:{self.port}", self.pair.certificate_path, token=ADMIN_TOKEN)

    def describe(self) -> Command:
        """The server on one loopback port."""
        issuer = "https://kubernetes.default.svc.cluster.local"
        return Command(
            (
                *(str(locate("controlplane")), "kube-apiserver", f"--etcd-servers={self._etcd.url}"),
                *("--bind-address=127.0.0.1", f"--secure-port={self.port}"),
                # No endpoint of the `kubernetes` Service may be a loopback address: any other one, never published.
                *("--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none"),
                f"--tls-cert-file={self.pair.certificate_path}",
                f"--tls-private-key-file={self.pair.key_path}",
                *("--service-cluster-ip-range=10.96.0.0/16", f"--service-account-issuer={issuer}"),
                f"--service-account-key-file={self._signing_public_path}",
                f"--service-account-signing-key-file={self.signing_key_path}",
                *("--authorization-mode=RBAC", f"--token-auth-file={self._token_path}"),
                *("--allow-privileged=true", "--profiling=false", f"--cert-dir={self.folder}", "--v=1"),
            ),
            environment={"HOME": str(self.folder)},
            # It drains for ten seconds on SIGTERM, but there is no client left.
            stop_signal=signal.SIGKILL,
        )

    def is_ready(self) -> bool:
        """Whether /readyz says ok."""
        try:
            return KubernetesClient(self.access).request("GET", "/readyz", timeout_seconds=1.0) == "ok"
        except (OSError, RuntimeError):
            return False


class _Component(Server):
    """A client of the API server that serves nothing itself: whether it works shows in the cluster's objects."""

    def __init__(self, api: ApiServer, kubeconfig_path: Path, options: ClusterOptions, folder: Path | None) -> None:
        super().__init__(folder)
        self._api = api
        self._kubeconfig_path = kubeconfig_path
        self._options = options

    def prepare(self) -> None:
        """Needs no file."""

    def is_ready(self) -> bool:
        """Whether it is alive."""
        return self.is_running


class Controllers(_Component):
    """The controller manager: rollouts, HPAs, garbage collection, ServiceAccounts."""

    name = "kube-controller-manager"

    def describe(self) -> Command:
        """Without leader election: there is one."""
        options = self._options
        return Command(
            (
                *(str(locate("controlplane")), "kube-controller-manager", f"--kubeconfig={self._kubeconfig_path}"),
                *("--leader-elect=false", "--secure-port=0", "--profiling=false", f"--cert-dir={self.folder}"),
                f"--service-account-private-key-file={self._api.signing_key_path}",
                f"--root-ca-file={self._api.pair.certificate_path}",
                f"--horizontal-pod-autoscaler-sync-period={options.hpa_sync_seconds}s",
                f"--horizontal-pod-autoscaler-downscale-stabilization={options.hpa_downscale_stabilization_seconds}s",
                f"--horizontal-pod-autoscaler-cpu-initialization-period={options.hpa_cpu_initialization_seconds}s",
                f"--horizontal-pod-autoscaler-initial-readiness-delay={options.hpa_initial_readiness_delay_seconds}s",
                *("--kube-api-qps=200", "--kube-api-burst=400", "--v=1"),
            ),
            environment={"HOME": str(self.folder)},
            grace_seconds=3.0,
        )


class Scheduler(_Component):
    """The scheduler."""

    name = "kube-scheduler"

    def describe(self) -> Command:
        """Without leader election: there is one."""
        return Command(
            (
                *(str(locate("controlplane")), "kube-scheduler", f"--kubeconfig={self._kubeconfig_path}"),
                *("--leader-elect=false", "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400", "--v=1"),
            ),
            environment={"HOME": str(self.folder)},
            grace_seconds=3.0,
        )


class Kwok(_Component):
    """The simulated nodes and kubelets; pods get addresses of a 127.X.0.0/16 network of this cluster alone."""

    name = "kwok"

    def prepare(self) -> None:
        """Chooses the pod network."""
        self.network_octet = free_network()

    @property
    def pod_network(self) -> str:
        """The network of the pods: real processes can bind its addresses."""
        return f"127.{self.network_octet}.0.1/16"

    def describe(self) -> Command:
        """Every node is managed; the stage files say what nodes and pods do."""
        return Command(
            (
                *(str(locate("kwok")), f"--kubeconfig={self._kubeconfig_path}", "--manage-all-nodes=true"),
                *(f"--config={path}" for path in self._options.stage_paths),
                *(f"--cidr={self.pod_network}", f"--node-ip=127.{self.network_octet}.255.254"),
                f"--node-lease-duration-seconds={NODE_LEASE_SECONDS}",
            ),
            # kwok reads and writes ~/.kwok.
            environment={"HOME": str(self.folder)},
            grace_seconds=3.0,
        )
