"""Reads from a certificate (X.509, DER) until when it is valid. No I/O.

Python's ssl tells the fields of a certificate only when it has verified it, and it is the one that cannot be verified
any more, because it has expired, that must be told. So the one field is read here (RFC 5280, 4.1).
"""

from __future__ import annotations

from datetime import UTC, datetime

from chassis.errors import PermanentError, Reason

SEQUENCE, INTEGER, CONTEXT_0 = 0x30, 0x02, 0xA0
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
TIME_FORMATS = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
"""UTCTime's two digits mean 1950 to 2049 in certificates, and 1969 to 2068 in strptime; the difference expired long ago
or does not exist: from 2050 on certificates use GeneralizedTime."""
LONG_FORM = 0x80
MAX_LENGTH_BYTES = 4


def read_not_after(certificate: bytes) -> float:
    """The Unix time of notAfter; raises PermanentError(malformed) for anything but a certificate."""
    try:
        _, outer, _ = _element(certificate, SEQUENCE)
        _, body, _ = _element(outer, SEQUENCE)
        if body[:1] == bytes([CONTEXT_0]):
            body = _element(body, CONTEXT_0)[2]
        for kind in (INTEGER, SEQUENCE, SEQUENCE):  # serialNumber, signature, issuer
            body = _element(body, kind)[2]
        _, validity, _ = _element(body, SEQUENCE)
        rest = _element(validity, *TIME_FORMATS)[2]
        kind, text, _ = _element(rest, *TIME_FORMATS)
        moment = datetime.strptime(text.decode("ascii"), TIME_FORMATS[kind])  # noqa: DTZ007 - Z is in the format
        return moment.replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise PermanentError(Reason.MALFORMED, f"not a certificate: {error}") from error


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
