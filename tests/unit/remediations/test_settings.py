"""What a configuration of announcements may say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from remediations.own import RESERVED_LABELS
from remediations.settings import AlertmanagerSettings


@pytest.mark.parametrize("name", [*sorted(RESERVED_LABELS), "no-label", "", "1st"])
def test_label_that_is_ours_or_none_is_refused(name: str):
    with pytest.raises(ValidationError):
        AlertmanagerSettings(announce_labels={name: "x"})


def test_external_labels_are_taken():
    assert AlertmanagerSettings(announce_labels={"cluster": "a"}).announce_labels == {"cluster": "a"}


def test_announcing_is_on_where_an_alertmanager_is_named():
    assert AlertmanagerSettings().announce is True
