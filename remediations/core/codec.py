"""The codec of all values that the remediator stores or publishes: to JSON and back, by their annotations.

msgspec converts dataclasses, structs, enums and unions. This module adds the types that it does not know, refuses
fields that a type does not have, and names the place of an error.
"""

from __future__ import annotations

import base64
import json
import threading
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from remediations.core.model.errors import DamagedRecordError

T = TypeVar("T")
MAX_BYTES = 16 * 1024 * 1024
"""Of what is inflated: more is damage, or was made to fill the memory."""
_PREPARED: set[Any] = set()
"""The types whose description msgspec has completed."""
_PREPARING = threading.Lock()


class CodecError(ValueError):
    """The data is not a value of the type; the message begins with the location."""


def to_data(value: Any) -> Any:
    """The value as JSON-able data that shares nothing with it; `from_data` gives an equal value."""
    return msgspec.to_builtins(value, enc_hook=_simplify)


def from_data(kind: type[T], data: Any, root: str = "$", *, is_exact: bool = True) -> T:
    """The value of this type; fields that are left out keep their defaults.

    Raises CodecError, with `is_exact` also for a field that the type does not have; `root` begins the place it names.
    """
    try:
        value = msgspec.convert(data, _prepared(kind), dec_hook=_restore)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        words, _, place = str(error).partition(" - at `$")
        raise CodecError(f"{root}{place.removesuffix('`')}: {words}") from error
    for place in _find_unknown(data, to_data(value)) if is_exact else ():
        raise CodecError(f"{root}{place}: there is no such field")
    return value


ENCODER = json.JSONEncoder(default=to_data)
"""Created once: creating one for each of ten thousand texts takes as long as encoding them."""


def to_json(value: Any) -> str:
    """The value as JSON in ASCII, so that the text can be stored whatever characters an alert has."""
    return ENCODER.encode(value)


def from_json(text: str | bytes) -> Any:
    """The data of a text that `to_json` wrote; raises CodecError."""
    try:
        return json.loads(text)  # noqa: TID251 - what we wrote
    except (ValueError, TypeError, RecursionError) as error:
        raise CodecError(f"not JSON: {error}") from error


def compress(text: str, base: bytes = b"") -> bytes:
    """The text in ASCII as zlib data. With a base only what differs from it is kept, and the base is needed to read it.

    The base is a preset dictionary (RFC 1950, section 2.2): the last 32 KiB of it count.
    """
    deflater = zlib.compressobj(zdict=base) if base else zlib.compressobj()
    return deflater.compress(text.encode()) + deflater.flush()


def inflate(packed: bytes, base: bytes = b"") -> bytes:
    """The text that `compress` was given; raises CodecError."""
    inflater = zlib.decompressobj(zdict=base) if base else zlib.decompressobj()
    try:
        text = inflater.decompress(packed, MAX_BYTES)
    except (zlib.error, TypeError) as error:
        raise CodecError(f"not compressed text: {error}") from error
    if not inflater.eof:
        raise CodecError("compressed text that has no end")
    return text


def to_short_text(value: Any) -> str:
    """The value as short ASCII; about 2 KB for the inputs of an ordinary decision."""
    return base64.b85encode(compress(to_json(value))).decode()


def from_short_text(text: str) -> Any:
    """The data that `to_short_text` was given; raises CodecError."""
    try:
        return from_json(inflate(base64.b85decode(text)))
    except ValueError as error:
        raise CodecError(str(error)) from error


def read_stored(kind: type[T], data: Any, table: str, key: object, field: str = "", *, is_exact: bool = True) -> T:
    """The value of a column of the journal; raises DamagedRecordError that names table, id and field."""
    try:
        return from_data(kind, data, field, is_exact=is_exact)
    except CodecError as error:
        raise DamagedRecordError(table, key, str(error).removeprefix(".")) from error


def parse_stored(text: str | bytes, table: str, key: object, field: str) -> Any:
    """The data of a JSON column; raises DamagedRecordError that names table, id and field."""
    try:
        return from_json(text)
    except CodecError as error:
        raise DamagedRecordError(table, key, f"{field}: {error}") from error


def _simplify(value: Any) -> Any:
    """A type that msgspec does not know as one that it knows."""
    if isinstance(value, ZoneInfo):
        return value.key
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be stored")


def _prepared(kind: type[T]) -> type[T]:
    """The type, once msgspec's description of it is complete.

    msgspec 0.22 builds the description of a class at its first use, and other threads see it before it is complete:
    they read memory that was never written (SIGSEGV). The journal reads in threads of its own, so one at a time builds.
    """
    if kind not in _PREPARED:
        with _PREPARING:
            msgspec.json.Decoder(kind, dec_hook=_restore)
            _PREPARED.add(kind)
    return kind


def _restore(kind: type, data: Any) -> Any:
    """The value of a type that msgspec does not know; raises ValueError."""
    if kind is not ZoneInfo:
        raise NotImplementedError(f"{kind.__name__} cannot be read")
    try:
        return ZoneInfo(data)
    except (KeyError, TypeError, OSError) as error:
        raise ValueError(f"no time zone: {error}") from error


def _find_unknown(data: Any, known: Any) -> Iterator[str]:
    """The places in the data that are not in the value read from it; msgspec ignores them in dataclasses."""
    if isinstance(data, Mapping) and isinstance(known, Mapping):
        for name, item in data.items():
            if name not in known:
                yield f".{name}"
            else:
                yield from (f".{name}{place}" for place in _find_unknown(item, known[name]))
    elif isinstance(data, list | tuple) and isinstance(known, list | tuple):
        for number, (item, other) in enumerate(zip(data, known, strict=False)):
            yield from (f"[{number}]{place}" for place in _find_unknown(item, other))
