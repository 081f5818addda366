"""The Go programs of the test bench: where each comes from, its pinned version and what building it costs."""

from __future__ import annotations

from dataclasses import dataclass

KUBERNETES_VERSION = "v1.37.2"
KWOK_VERSION = "v0.8.0"
PROMETHEUS_VERSION = "3.16.0"
ALERTMANAGER_VERSION = "0.31.1"
HELM_VERSION = "v4.3.1"
OPA_VERSION = "1.22.2"
SYFT_VERSION = "v1.57.1"
ACTIONLINT_VERSION = "v1.7.12"
KUBECONFORM_VERSION = "v0.8.0"
GRYPE_VERSION = "v0.121.3"
COSIGN_VERSION = "v3.1.3"

_SMALL = "-s -w"
_KUBERNETES_LINK = (
    f"{_SMALL} -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"
    " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
)
_VERSION_VARIABLE = "github.com/prometheus/common/version.Version"
# Every discovery but Kubernetes' is left out: one of the cloud libraries behind the others cannot be resolved.
_PROMETHEUS_TAGS = "remove_all_sd,enable_kubernetes_sd"


@dataclass(frozen=True, slots=True)
class Program:
    """One program: the module folder that pins it, the package to compile and how."""

    name: str
    module: str
    package: str
    version: str
    link: str
    # Seconds of a cold build on two cores with nothing else running, in the order of the table: what an earlier
    # program of the same module compiled is not counted again.
    cold_seconds: float
    tags: str = ""
    # What makes the program print its version; empty when a program on PATH can never stand in.
    version_arguments: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """The compiler flags, part of the cache key."""
        tags = ("-tags", self.tags) if self.tags else ()
        return ("-trimpath", "-buildvcs=false", *tags, "-ldflags", self.link)


PROGRAMS = (
    # kube-apiserver, kube-controller-manager, kube-scheduler and etcd in one file; the first argument picks.
    Program("controlplane", "controlplane", ".", KUBERNETES_VERSION, _KUBERNETES_LINK, 340),
    Program("kwok", "controlplane", "sigs.k8s.io/kwok/cmd/kwok", KWOK_VERSION, _SMALL, 20, "", ("--version",)),
    Program(
        *("kubectl", "controlplane", "k8s.io/kubernetes/cmd/kubectl", KUBERNETES_VERSION, _KUBERNETES_LINK, 20),
        version_arguments=("version", "--client"),
    ),
    *(
        Program(
            *(name, "prometheus", f"github.com/prometheus/prometheus/cmd/{name}", PROMETHEUS_VERSION),
            link=f"{_SMALL} -X {_VERSION_VARIABLE}={PROMETHEUS_VERSION}",
            cold_seconds=seconds,
            tags=_PROMETHEUS_TAGS,
            version_arguments=("--version",),
        )
        for name, seconds in (("prometheus", 150), ("promtool", 10))
    ),
    *(
        Program(
            *(name, "alertmanager", f"github.com/prometheus/alertmanager/cmd/{name}", ALERTMANAGER_VERSION),
            link=f"{_SMALL} -X {_VERSION_VARIABLE}={ALERTMANAGER_VERSION}",
            cold_seconds=seconds,
            version_arguments=("--version",),
        )
        for name, seconds in (("alertmanager", 30), ("amtool", 5))
    ),
    Program(
        *("helm", "helm", "helm.sh/helm/v4/cmd/helm", HELM_VERSION),
        link=f"{_SMALL} -X helm.sh/helm/v4/internal/version.version={HELM_VERSION}",
        cold_seconds=50,
        version_arguments=("version", "--short"),
    ),
    Program("opa", "opa", "github.com/open-policy-agent/opa", OPA_VERSION, _SMALL, 45, "", ("version",)),
)

ON_DEMAND = (
    # What lists the contents of an image; `make image` builds it, `make tools` does not.
    Program(
        *("syft", "syft", "github.com/anchore/syft/cmd/syft", SYFT_VERSION),
        link=f"{_SMALL} -X main.version={SYFT_VERSION.removeprefix('v')}",
        cold_seconds=220,
        version_arguments=("--version",),
    ),
    # `make audit` and `make chart` build these.
    Program(
        *("actionlint", "lint", "github.com/rhysd/actionlint/cmd/actionlint", ACTIONLINT_VERSION),
        link=f"{_SMALL} -X github.com/rhysd/actionlint.version={ACTIONLINT_VERSION.removeprefix('v')}",
        cold_seconds=20,
        version_arguments=("--version",),
    ),
    Program(
        *("kubeconform", "lint", "github.com/yannh/kubeconform/cmd/kubeconform", KUBECONFORM_VERSION),
        link=f"{_SMALL} -X main.version={KUBECONFORM_VERSION}",
        cold_seconds=20,
        version_arguments=("-v",),
    ),
    # `make scan` and `make publish` build these; their times are estimates.
    Program(
        *("grype", "grype", "github.com/anchore/grype/cmd/grype", GRYPE_VERSION),
        link=f"{_SMALL} -X main.version={GRYPE_VERSION.removeprefix('v')}",
        cold_seconds=300,
        version_arguments=("--version",),
    ),
    Program(
        *("cosign", "cosign", "github.com/sigstore/cosign/v3/cmd/cosign", COSIGN_VERSION),
        link=f"{_SMALL} -X sigs.k8s.io/release-utils/version.gitVersion={COSIGN_VERSION}",
        cold_seconds=200,
        version_arguments=("version",),
    ),
)
"""Those that no test and no demo needs."""
