"""The chart and the files of the previous release meet this one: nothing of theirs is lost, refused or made anew.

The previous release is commit dac48493: nothing is tagged yet. `tests/fixtures/chart` holds its chart as `helm package`
wrote it, and those of its `ci` values that were changed since.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import exporter.__main__ as exporter_program
import remediations.__main__ as remediator_program
from tests.integration.helm.test_releases import NAMESPACED, helm, identities
from tools.chart import CHART, render

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster

FOLDER = Path(__file__).parents[2] / "fixtures" / "chart"
PREVIOUS = FOLDER / "controlcore-exporter-dac48493.tgz"
NAMES = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
ADDED = re.compile(r"Pod/r-\w+-doctor|NetworkPolicy/r-doctor|ValidatingAdmissionPolicy(Binding)?/r-remediator\..*")
"""What the chart has since then: the pods of `helm test` with their way out, and a policy for each CronJob."""
EXPORTER_ALONE = {"exporter-only-values.yaml", "snapshot-values.yaml"}
KEPT = (*NAMESPACED, ("api/v1", "persistentvolumeclaims"))
FILES = re.compile(r"(?<=_file: )/\S*/|(?<= path: )/var/lib/controlcore-remediator/")
"""The folder of each file that a setting names, and of the journal."""


def read_values(name: str) -> Any:
    """The values as they were."""
    changed = FOLDER / name
    return yaml.safe_load((changed if changed.exists() else CHART / "ci" / name).read_text())


def names(objects: list[dict[str, Any]]) -> set[str]:
    return {f"{item['kind']}/{item['metadata']['name']}" for item in objects}


def status_of(program: Any, *words: str) -> int | str | None:
    """The exit status of a command, in this process."""
    try:
        program.main(words)
    except SystemExit as ended:
        return ended.code or 0
    return 0


@pytest.mark.parametrize("name", NAMES)
def test_values_of_the_previous_release_render_the_same_objects_and_the_new_ones(name: str) -> None:
    values = read_values(name)
    before, after = (names(render(values, "r", "ops", chart=chart, with_tests=True)) for chart in (PREVIOUS, CHART))

    assert before - after == set()
    assert [item for item in after - before if not ADDED.fullmatch(item)] == []
    assert len(after) > len(before)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["first-values.yaml", "sidecar-plain-values.yaml"])
def test_release_is_upgraded_in_place_and_rolled_back(cluster: Cluster, namespace: str, name: str) -> None:
    """A journal's volume and a Service's address stay; a Deployment's selector cannot be changed, so it did not."""
    release, values = f"r-{namespace}", read_values(name)
    helm(cluster, namespace, "install", release, str(PREVIOUS), values=values)
    before = identities(cluster, namespace, KEPT)
    assert [item for item in before if item.startswith("persistentvolumeclaims/")] != []

    helm(cluster, namespace, "upgrade", release, str(CHART), values=values)
    after = identities(cluster, namespace, KEPT)
    assert {item: after.get(item) for item in before} == before

    helm(cluster, namespace, "rollback", release, "1")
    assert identities(cluster, namespace, KEPT) == before
    helm(cluster, namespace, "uninstall", release)


@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_previous_release_are_read(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings and policies, as an installation without the chart still has them."""
    maps = [item for item in render(read_values(name), "r", "ops", chart=PREVIOUS) if item["kind"] == "ConfigMap"]
    found = {item["metadata"]["name"]: item["data"] for item in maps}
    programs = {
        "r-exporter": (exporter_program, "--config.check"),
        "r-remediator": (remediator_program, "check-config"),
    }
    for map_name in programs.keys() & found.keys():
        files, folder = found[map_name], tmp_path / map_name
        folder.mkdir()
        for file, text in files.items():
            moved = FILES.sub(f"{folder}/", text)
            (folder / file).write_text(moved)
            for secret in set(re.findall(rf"(?<=_file: ){folder}/(\S+)", moved)) - files.keys():
                (folder / secret).write_text("{}" if "web" in secret else "a-secret-of-the-test-0001")
        program, word = programs[map_name]

        assert status_of(program, "--config.file", str(folder / "config.yaml"), word) == 0, capsys.readouterr().err
    assert programs.keys() - found.keys() <= ({"r-remediator"} if name in EXPORTER_ALONE else set())
