"""Reads the end of validity from certificates (X.509, DER). No I/O.

Python's ssl returns a certificate's fields only after verifying it, but an expired certificate, which fails
verification, must be reported too. So the few fields are read here (RFC 5280, 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.errors import PermanentError, Reason

SEQUENCE, INTEGER, CONTEXT_0 = 0x30, 0x02, 0xA0
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
TIME_FORMATS = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
"""UTCTime's two digits mean 1950 to 2049 in certificates, and 1969 to 2068 in strptime; the difference expired long ago
or does not exist: from 2050 on certificates use GeneralizedTime."""
LONG_FORM = 0x80
MAX_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Certificate:
    """The fields of one certificate that are used."""

    issuer: bytes
    subject: bytes
    """Names as encoded (DER): the issuer equals the subject of the issuer's certificate, byte for byte (RFC 5280,
    4.1.2.4).
    """
    not_after: float


def read_certificate(certificate: bytes) -> Certificate:
    """The certificate's names and its end; raises PermanentError(malformed) for anything but a certificate."""
    try:
        _, outer, _ = _element(certificate, SEQUENCE)
        _, body, _ = _element(outer, SEQUENCE)
        if body[:1] == bytes([CONTEXT_0]):
            body = _element(body, CONTEXT_0)[2]
        for kind in (INTEGER, SEQUENCE):  # serialNumber, signature
            body = _element(body, kind)[2]
        _, issuer, body = _element(body, SEQUENCE)
        _, validity, body = _element(body, SEQUENCE)
        rest = _element(validity, *TIME_FORMATS)[2]
        kind, text, _ = _element(rest, *TIME_FORMATS)
        moment = datetime.strptime(text.decode("ascii"), TIME_FORMATS[kind])  # noqa: DTZ007 - Z is in the format
        return Certificate(issuer, _element(body, SEQUENCE)[1], moment.replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise PermanentError(Reason.MALFORMED, f"not a certificate: {error}") from error


def chain_not_after(chain: Sequence[Certificate]) -> float:
    """The earliest end of validity in the chain from the first certificate up to a root, as far as the server sends it.

    Other certificates are ignored, and so is a root: clients trust their own copy. If an issuer has two certificates, a
    client takes the valid one, hence the later end.
    """
    current, others = chain[0], list(chain[1:])
    end = current.not_after
    while current.issuer != current.subject:
        issuers = [each for each in others if each.subject == current.issuer]
        if not issuers:
            break
        current = max(issuers, key=lambda each: each.not_after)
        others = [each for each in others if each.subject != current.subject]
        if current.issuer != current.subject:
            end = min(end, current.not_after)
    return end


def _element(data: bytes, *kinds: int) -> tuple[int, bytes, bytes]:
    """Tag, content and what follows of the first element; raises ValueError unless its tag is one of `kinds`."""
    if len(data) < 2 or data[0] not in kinds:  # noqa: PLR2004 - tag and length
        raise ValueError("an element is missing")
    length, start = data[1], 2
    if length >= LONG_FORM:
        size = length - LONG_FORM
        if not 0 < size <= MAX_LENGTH_BYTES or len(data) < 2 + size:
            raise ValueError("a length cannot be read")
        length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if len(data) < start + length:
        raise ValueError("it ends too early")
    return data[0], data[start : start + length], data[start + length :]
