"""What a configuration of announcements may say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from remediations.own import RESERVED_LABELS
from remediations.settings import AlertmanagerSettings, PrometheusSettings


@pytest.mark.parametrize("name", [*sorted(RESERVED_LABELS), "no-label", "", "1st"])
def test_label_that_is_ours_or_none_is_refused(name: str):
    with pytest.raises(ValidationError):
        AlertmanagerSettings(announce_labels={name: "x"})


def test_external_labels_are_taken():
    assert AlertmanagerSettings(announce_labels={"cluster": "a"}).announce_labels == {"cluster": "a"}


def test_announcing_is_on_where_an_alertmanager_is_named():
    assert AlertmanagerSettings().announce is True


@pytest.mark.parametrize(
    "parts",
    [
        {"username": "sam"},
        {"password_file": "/secret"},
        {"username": "sam", "password_file": "/secret", "bearer_token_file": "/token"},
        {"bearer_token_file": "/token", "url": "http://sam:planted@am:9093"},
        {"bearer_token_file": "/token", "more_urls": ["http://sam:planted@am:9093"]},
    ],
)
def test_credentials_that_could_not_be_sent_as_one_header_are_refused(parts: dict[str, object]):
    with pytest.raises(ValidationError):
        AlertmanagerSettings.model_validate(parts)


def test_one_credential_is_taken():
    assert AlertmanagerSettings.model_validate({"username": "sam", "password_file": "/secret"}).username == "sam"
    assert PrometheusSettings.model_validate({"bearer_token_file": "/token"}).username == ""
