"""Valid and invalid configurations of announcements."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from remediations.core.model.names import RESERVED_LABELS
from remediations.settings import AlertmanagerSettings, PrometheusSettings


@pytest.mark.parametrize("name", [*sorted(RESERVED_LABELS), "no-label", "", "1st"])
def test_label_that_is_ours_or_none_is_refused(name: str):
    with pytest.raises(ValidationError):
        AlertmanagerSettings(announce_labels={name: "x"})


def test_external_labels_are_taken():
    assert AlertmanagerSettings(announce_labels={"cluster": "a"}).announce_labels == {"cluster": "a"}


@pytest.mark.parametrize("text", ["", " controlcore-remediator", "a\nb", "a" * 301])
def test_command_that_is_no_line_is_refused(text: str):
    with pytest.raises(ValidationError):
        AlertmanagerSettings(announce_command=text)


def test_announcing_is_on_where_an_alertmanager_is_named():
    assert AlertmanagerSettings().announce is True


USER = {"basic_auth": {"username": "sam", "password_file": "/secret"}}
TOKEN = {"authorization": {"credentials_file": "/token"}}


@pytest.mark.parametrize(
    "parts",
    [
        {"basic_auth": {"username": "sam"}},
        {"basic_auth": {"password_file": "/secret"}},
        {"authorization": {"type": "Digest", "credentials_file": "/token"}},
        {**USER, **TOKEN},
        {**TOKEN, "url": "http://sam:planted@am:9093"},
        {**USER, "more_urls": ["http://sam:planted@am:9093"]},
    ],
)
def test_credentials_that_could_not_be_sent_as_one_header_are_refused(parts: dict[str, object]):
    with pytest.raises(ValidationError):
        AlertmanagerSettings.model_validate(parts)


def test_one_credential_is_taken():
    user, token = AlertmanagerSettings.model_validate(USER), PrometheusSettings.model_validate(TOKEN)
    assert user.basic_auth is not None
    assert user.basic_auth.username == "sam"
    assert token.authorization is not None
    assert token.authorization.type == "Bearer"
