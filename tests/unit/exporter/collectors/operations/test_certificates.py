from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import PermanentError, Reason
from exporter.collectors.operations.certificates import read_certificate


def element(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def certificate(not_after=b"261231235959Z", *, tag=0x17, has_version=True):
    version = element(0xA0, element(0x02, b"\x02")) if has_version else b""
    validity = element(0x30, element(0x17, b"250101000000Z") + element(tag, not_after))
    issuer = element(0x30, b"\x00" * 200)
    body = version + element(0x02, b"\x07") + element(0x30, b"") + issuer + validity + element(0x30, b"subject")
    return element(0x30, element(0x30, body) + element(0x30, b"") + element(0x03, b"signature"))


@pytest.mark.parametrize("has_version", [True, False])
def test_certificate_tells_until_when_it_is_valid(has_version):
    expected = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    assert read_certificate(certificate(has_version=has_version)).not_after == expected


def test_time_after_2049_is_read_from_its_longer_form():
    expected = datetime(2051, 6, 1, tzinfo=UTC).timestamp()
    assert read_certificate(certificate(b"20510601000000Z", tag=0x18)).not_after == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x85\x01\x01\x01\x01\x01",
        certificate()[:-40][:60],
        certificate(b"not a time 00"),
        certificate(b"261331235959Z"),
        certificate(b"\xff" * 13),
        certificate(tag=0x0C),
    ],
)
def test_anything_else_is_malformed(data):
    with pytest.raises(PermanentError) as caught:
        read_certificate(data)
    assert caught.value.reason is Reason.MALFORMED


@given(st.binary(max_size=300), st.integers(0, 400))
def test_bytes_of_any_kind_are_a_time_or_malformed(noise, place):
    whole = certificate()
    try:
        assert isinstance(read_certificate(whole[:place] + noise + whole[place + len(noise) :]).not_after, float)
    except PermanentError as error:
        assert error.reason is Reason.MALFORMED  # noqa: PT017 - either outcome is right
