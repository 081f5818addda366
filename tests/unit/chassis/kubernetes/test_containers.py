from __future__ import annotations

import pytest

from chassis.kubernetes.containers import containers_of, has_digest, is_latest

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "latest", "digest"),
    [
        ("api", True, False),
        ("api:", True, False),
        ("", True, False),
        ("api:latest", True, False),
        ("registry:5000/api", True, False),
        ("registry:5000/api:1.2", False, False),
        ("api:1.2", False, False),
        (f"api@{DIGEST}", False, True),
        (f"api:latest@{DIGEST}", False, True),
        ("api@sha256:0", False, False),
    ],
)
def test_image_names_its_version_by_a_tag_or_a_digest(image, latest, digest):
    assert (is_latest(image), has_digest(image)) == (latest, digest)


def test_init_containers_come_first():
    template = {"spec": {"containers": [{"name": "api"}], "initContainers": [{"name": "wait"}]}}
    assert [each["name"] for each in containers_of(template)] == ["wait", "api"]


def test_template_without_containers_is_none():
    with pytest.raises(KeyError):
        containers_of({"spec": {}})
