from __future__ import annotations

import pytest

from tools.install import packages
from tools.install.packages import (
    PACKAGES,
    POLICY_TEXT,
    Package,
    PackageError,
    ensure,
    find_missing,
    locate,
    services_forbidden,
)


def test_services_are_forbidden_only_meanwhile(tmp_path):
    policy = tmp_path / "policy-rc.d"
    with services_forbidden(policy):
        assert policy.read_text() == POLICY_TEXT
        assert policy.stat().st_mode & 0o111
    assert not policy.exists()


def test_policy_that_was_there_is_put_back_after_a_failure(tmp_path):
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 104\n")
    policy.chmod(0o744)
    with pytest.raises(RuntimeError, match="apt-get failed"), services_forbidden(policy):
        raise RuntimeError("apt-get failed")
    assert policy.read_text() == "#!/bin/sh\nexit 104\n"
    assert policy.stat().st_mode & 0o777 == 0o744


def test_unknown_program_is_refused_by_name():
    with pytest.raises(PackageError, match="no package of the list holds 'emacs'"):
        locate("emacs")


def test_program_names_belong_to_one_package_each():
    names = [name for package in PACKAGES for name, _ in package.programs]
    assert len(names) == len(set(names))


def test_missing_package_is_named_with_its_command_where_it_may_not_be_installed(monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", {"apt-get": "/usr/bin/apt-get"}.get)
    assert ensure([Package("emacs", (("emacs", "/nowhere/emacs"),)), Package("python", (("python", __file__),))]) == 1
    said = capsys.readouterr().err
    assert "sudo apt-get install --no-install-recommends emacs\n" in said


def test_nothing_missing_needs_no_rights(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert ensure([Package("python", (("python", __file__),))]) == 0


@pytest.mark.parametrize(("status", "printed"), [(0, ""), (100, "E: the mirror is away")])
def test_output_of_apt_is_shown_only_when_it_fails(tmp_path, monkeypatch, capfd, status, printed):
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\necho 'E: the mirror is away'\nexit {status}\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(packages, "POLICY_PATH", tmp_path / "policy-rc.d")
    monkeypatch.setattr(packages, "CLUSTER_CONFIGURATION", tmp_path / "createcluster.d")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert ensure([Package("emacs", (("emacs", "/nowhere/emacs"),))]) == 1
    said = capfd.readouterr()
    assert said.out == "installing Debian's emacs (about 14 s)\n"
    assert ("the mirror is away" in said.err) is bool(printed)


@pytest.mark.parametrize(("says", "is_taken"), [("Redis server v=5.0.14", False), ("Redis server v=7.2.4", True)])
def test_program_of_path_counts_in_a_supported_version(tmp_path, monkeypatch, says, is_taken):
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\necho '{says} sha=00000000:0'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    wanted = [Package("redis-server", (("redis-server", "/nowhere/redis-server"),))]
    assert bool(find_missing(wanted)) is not is_taken


def test_newest_server_of_several_is_taken_but_15_before_others(tmp_path, monkeypatch):
    places = {version: tmp_path / f"postgresql/{version}/bin/postgres" for version in ("9.6", "14", "16")}
    for place in places.values():
        place.parent.mkdir(parents=True)
        place.touch()
    wanted = Package("postgresql", (("postgres", f"{tmp_path}/postgresql/*/bin/postgres"),))
    monkeypatch.setattr(packages, "PACKAGES", (wanted,))
    assert locate("postgres") == places["16"]

    best = tmp_path / "postgresql/15/bin/postgres"
    best.parent.mkdir(parents=True)
    best.touch()
    assert locate("postgres") == best
