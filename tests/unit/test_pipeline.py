"""Both pipelines have the same jobs and commands; each action is pinned; the page says what needs the network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
NOT_JOBS = {"stages", "workflow", "variables", "default", "include"}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
FOREIGN = re.compile(r"sudo python3 -m tools\.install\.packages|printf .* docker login .*|gh release create .*")
"""What a job may run beside make: the packages as root, and the log-in and the release, which are the platform's."""
ONLINE = {"make advisories", "make image", "make scan", "make publish"}
"""Commands that ask other hosts even where all packages and programs are installed."""

Jobs = dict[str, list[str]]


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def github_jobs() -> Jobs:
    return {
        name: [step["run"] for step in job.get("steps", ()) if "run" in step]
        for path in WORKFLOWS
        for name, job in read(path)["jobs"].items()
    }


def gitlab_jobs() -> Jobs:
    document = read(ROOT / ".gitlab-ci.yml")
    return {name: job["script"] for name, job in document.items() if name not in NOT_JOBS and not name.startswith(".")}


def made(commands: list[str]) -> list[str]:
    """The commands of the Makefile, without their variables."""
    return [" ".join(command.split()[:2]) for command in commands if command.startswith("make ")]


def rows() -> dict[str, tuple[list[str], str]]:
    """The table of the page: the commands of each job, and what they need from the network."""
    section = PAGE.partition("\n## The pipeline\n")[2].partition("\n## ")[0]
    return {job: (re.findall(r"`(make \w+)`", commands), network) for job, _, commands, network in ROW.findall(section)}


def test_both_pipelines_have_the_same_jobs() -> None:
    assert sorted(github_jobs()) == sorted(gitlab_jobs())


@pytest.mark.parametrize("job", sorted(github_jobs()))
def test_job_runs_the_same_commands_in_both_pipelines(job: str) -> None:
    github, gitlab = made(github_jobs()[job]), made(gitlab_jobs()[job])
    assert gitlab
    # GitHub's action brings CodeQL and stores its findings.
    assert (github, gitlab) == ([], ["make codeql"]) if job == "codeql" else github == gitlab


@pytest.mark.parametrize("jobs", [github_jobs(), gitlab_jobs()], ids=["github", "gitlab"])
def test_job_calls_only_targets_that_exist(jobs: Jobs) -> None:
    commands = [command for each in jobs.values() for command in each]
    assert {command.split()[1] for command in made(commands)} <= TARGETS
    assert [each for each in commands if not each.startswith("make ") and not FOREIGN.fullmatch(each)] == []


def test_every_action_is_pinned_by_the_digest_of_its_commit() -> None:
    used = [
        line.partition("uses:")[2].strip()
        for path in WORKFLOWS
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(- )?uses:", line)
    ]
    assert len(used) > 5
    assert [each for each in used if not PINNED.fullmatch(each)] == []


def test_one_action_has_one_digest() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    found = dict.fromkeys(re.findall(r"uses: ([\w-]+/[\w-]+)[\w/-]*(@.*)", text))
    assert len({name for name, _ in found}) == len(found)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_has_no_right_and_its_jobs_name_theirs(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert [name for name, job in workflow["jobs"].items() if not job.get("permissions")] == []


def test_only_the_release_may_write() -> None:
    """CodeQL's findings aside. The job that has the rights runs nothing that another job did not build."""
    writing = {
        (name, right)
        for path in WORKFLOWS
        for name, job in read(path)["jobs"].items()
        for right, value in job["permissions"].items()
        if value != "read"
    }
    assert {(name, right) for name, right in writing if name != "release"} == {("codeql", "security-events")}
    assert made(github_jobs()["release"]) == ["make publish"]


def test_release_waits_for_every_other_job() -> None:
    (workflow,) = (read(path) for path in WORKFLOWS if "release" in read(path)["jobs"])
    assert sorted([*workflow["jobs"]["release"]["needs"], "release"]) == sorted(workflow["jobs"])


def test_checkout_leaves_no_credentials() -> None:
    steps = [step for path in WORKFLOWS for job in read(path)["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert [step for step in checkouts if step["with"]["persist-credentials"] is not False] == []


def test_page_lists_every_job_with_its_commands() -> None:
    assert {job: commands for job, (commands, _) in rows().items()} == {
        job: made(commands) for job, commands in gitlab_jobs().items()
    }


def test_page_lists_every_command_that_needs_the_network() -> None:
    named = {command for _, network in rows().values() for command in re.findall(r"`(make \w+)`", network)}
    assert named == ONLINE
    quiet = {network for job, (commands, network) in rows().items() if not ONLINE & set(commands)}
    assert quiet == {"no"}


def test_renovate_follows_the_pins() -> None:
    """Actions keep their digests, and the pins of Python and Go are followed where they stand."""
    settings = json.loads((ROOT / "renovate.json").read_text(encoding="utf-8"))
    assert "helpers:pinGitHubActionDigests" in settings["extends"]
    assert {"github-actions", "gomod", "pep621", "gitlabci", "dockerfile"} <= set(settings["enabledManagers"])
