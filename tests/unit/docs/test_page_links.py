"""Every link of the pages leads to a file or a heading that exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.markdown import ROOT, anchors_of, links_of, pages


def fault_of(page: Path, link: str) -> str | None:
    """The fault of a link of a page, or None."""
    file, _, anchor = link.partition("#")
    target = (page.parent / file).resolve() if file else page
    if not target.exists():
        return f"{link}: there is no such file"
    if anchor and anchor not in anchors_of(target.read_text(encoding="utf-8")):
        return f"{link}: there is no such heading"
    return None


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = links_of(page.read_text(encoding="utf-8"))

    assert [fault for link in links if (fault := fault_of(page, link))] == []


def test_pages_with_many_links_are_among_them() -> None:
    names = {str(page.relative_to(ROOT)) for page in pages()}

    assert names >= {"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/faq.md", "docs/upgrade.md"}


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("PostgreSQL, Redis, OPA and the API stopped (SIGSTOP)", "postgresql-redis-opa-and-the-api-stopped-sigstop"),
        ("A policy (`policies[]`)", "a-policy-policies"),
        ("`server.roles.deliver`", "serverrolesdeliver"),
        ("[A link](other.md) with `max_age`", "a-link-with-max_age"),
    ],
)
def test_anchor_is_the_one_that_github_makes(title: str, anchor: str) -> None:
    assert anchors_of(f"## {title}\n\n## {title}\n") == {anchor, f"{anchor}-1"}


def test_links_in_code_and_to_other_hosts_are_left_alone() -> None:
    text = "[a](a.md) `[b](b.md)` [c](https://example.com)\n\n```sh\n[d](d.md)\n```\n"

    assert links_of(text) == ["a.md"]


def test_missing_file_and_missing_heading_are_found() -> None:
    page = ROOT / "README.md"

    assert fault_of(page, "docs/nowhere.md") == "docs/nowhere.md: there is no such file"
    assert fault_of(page, "docs/faq.md#nowhere") == "docs/faq.md#nowhere: there is no such heading"
    assert fault_of(page, "#install") is None
