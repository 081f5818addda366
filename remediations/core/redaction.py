r"""Removes secrets from text that is stored or shown. Pure.

First the values that are known to be secret, in each form in which programs write them: as they are, split by line
ends, quotes or colour codes, escaped for JSON, HTML or Python, percent-encoded, as hexadecimal digits, as Base64 also
in the middle of a longer text. Then what looks like a credential. `python -m tools.redaction` prints what both find in
a generated corpus.

Redact first and cut then: half a secret is a form that nothing here knows. Where a text was cut before, a piece of a
known value at its beginning or end is removed, too.
"""

from __future__ import annotations

import base64
import functools
import html
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

import re2

REMOVED = "[removed]"
MIN_LENGTH = 4
"""A shorter value is no secret: removing it would blank half of the text."""
MIN_SPLIT_LENGTH = 8
"""A shorter value is looked for in one piece only."""
MIN_PIECE = 6
"""Shortest piece of a known value that is removed at an end of the text."""

CREDENTIAL_WORD = (
    r"passw(?:or)?d|passwd|passphrase|passcode|\bpass\b|_pass\b|pwd|secret|token|credential|api[_-]?key|apikey"
    r"|(?:access|private|signing|encryption|master|account|shared)[_-]?key|authorization|auth[_-]?key"
    r"|cookie|session[_-]?id"
    r"|connection[_-]?string|\bdsn\b|signature|\bsig\b|x-amz-credential|_auth\b|\bsas\b"
)
"""Words in the name of a variable, header or option whose value is a secret."""
_NAMED = re.compile(rf"(?:{CREDENTIAL_WORD}|pass|key|auth|dsn|_url$)", re.IGNORECASE)

_ENDS = re2.compile(
    "\x1b\\[[0-9;]*[A-Za-z]"  # colours of a terminal
    r"|\\r\\n|\\[nrt]"  # a line end that was escaped
    r"|[\"'`]\s*[+.]\s*[\"'`]"  # joined literals
    "|[\\s\"'`\\\\\u200b-\u200f\u202a-\u202e\u2060\ufeff]"
)
"""What may stand between two characters of a secret that was split."""


def _pattern(text: str) -> re2._Regexp:
    """A pattern that ignores case; its group 1, where there is one, stays."""
    return re2.compile(f"(?is){text}")


_QUOTED = r"(?:\\*\"[^\"]*\"|\\*'[^']*'|`[^`]*`)"
_VALUE = rf"(?:{_QUOTED}|[^\s,;&|<>}}\])\"']+)"
_NAME = rf"[\w.-]*(?:{CREDENTIAL_WORD})[\w.-]*"
PATTERNS = (
    _pattern(r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|CERTIFICATE)[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\z)"),
    # Headers: the rest of the line, whatever its scheme.
    _pattern(r"\b((?:proxy-)?authorization[\"']?\s*[:=]\s*)[^\r\n]+"),
    _pattern(r"\b((?:set-)?cookie[\"']?\s*[:=]\s*)[^\r\n]+"),
    _pattern(r"\b((?:bearer|basic|digest|negotiate|apikey)\s+)[A-Za-z0-9._~+/=:-]{8,}"),
    # user:password@ of a URL, also with an @ or a / in the password.
    _pattern(r"([a-z][a-z0-9+.-]*://)[^\s\"'<>]*(@)"),
    # curl -u user:password
    _pattern(r"((?:^|\s)(?:-u|--user|--proxy-user)[ =])\S+"),
    # <password>…</password>
    _pattern(rf"(<(?:{_NAME})[^<>]*>)[^<]+"),
    # name=value, name: value, name => value, "name\": \"value\"
    _pattern(rf"({_NAME}(?:\\*[\"'`])?\s*(?:=>|:=|=|:)\s*){_VALUE}"),
    # password is "value", also without quotes where it holds a digit
    _pattern(rf"({_NAME}\s+(?:is|was|set to|to)\s+)(?:{_QUOTED}|\S*\d\S*)"),
    # {"name": "DB_PASSWORD", "value": "…"}, as an environment is printed
    _pattern(rf"(name\\*[\"']?\s*[:=]\s*\\*[\"']?{_NAME}\\*[\"']?\s*,?\s*\\*[\"']?value\\*[\"']?\s*[:=]\s*){_VALUE}"),
    # --name value, -name value
    _pattern(rf"((?:^|\s)--?{_NAME}[ ]+){_VALUE}"),
    # sql: PASSWORD 'x', IDENTIFIED BY 'x'
    _pattern(rf"((?:password|identified\s+by|auth)\s+){_QUOTED}"),
    # JSON Web Tokens
    _pattern(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_=-]*)*"),
    # Tokens that say by their beginning whose they are.
    _pattern(
        r"\b(?:AKIA|ASIA|AIza|ya29\.|gh[pousr]_|github_pat_|glpat-|npm_|pypi-|xox[abeoprs]-|[sprk]k_(?:live|test)_|SG\."
        r"|hv[sbr]\.|dop_v1_|shp(?:at|ss)_|dckr_pat_|sq0[a-z]{3}-|rdme_|lin_api_|AGE-SECRET-KEY-)[A-Za-z0-9_./+=-]{8,}"
    ),
    # Hashes of passwords
    _pattern(r"\$(?:2[abxy]|5|6|argon2[id]{1,2}|scrypt|pbkdf2[a-z0-9-]*|y)\$[A-Za-z0-9./+=,$-]{8,}"),
    _pattern(r"\b(?:SCRAM-SHA-256\$|md5[0-9a-f]{32}\b)[A-Za-z0-9+/=:$]*"),
)
_LONG = re2.compile(r"[A-Za-z0-9_+/=-]{20,}")
"""A word that may be a key; `_is_key` tells by its mixture of characters."""
_HEXADECIMAL = re2.compile(r"(?i)(sha(?:1|256|384|512):)?\b[0-9a-f]{32,}\b")


def is_secret_name(name: str) -> bool:
    """Whether a variable or option of this name usually holds a secret."""
    return _NAMED.search(name) is not None


def remove_secrets(text: str, known: Iterable[str] = ()) -> str:
    """The text without the known values, in whatever form, and without what looks like a credential."""
    # RE2 reads UTF-8, which has no lone surrogates.
    text = _remove_known(text.encode(errors="backslashreplace").decode(), known)
    for pattern in PATTERNS:
        text = pattern.sub(_replaced, text)
    text = _HEXADECIMAL.sub(lambda found: found[0] if found[1] else REMOVED, text)
    return str(_LONG.sub(lambda found: REMOVED if _is_key(found[0]) else found[0], text))


def _replaced(found: re2._Match) -> str:
    """The mark in place of the secret, between what stands in front of it and behind it."""
    around = [str(group or "") for group in found.groups()]
    return "".join([*around[:1], REMOVED, *around[1:2]])


def _is_key(word: str) -> bool:
    """Whether a long word mixes upper case, lower case and digits as keys do, and names and paths do not."""
    pieces = [piece for piece in re.split(r"[/_=-]", word) if piece]
    longest = max(pieces, key=len, default="")
    if len(longest) < 16:  # noqa: PLR2004 - a name's words are shorter
        return False
    kinds = ["u" if c.isupper() else "l" if c.islower() else "d" for c in longest]
    changes = sum(kind != following for kind, following in itertools.pairwise(kinds))
    return len(set(kinds)) == 3 and changes >= len(longest) // 4  # noqa: PLR2004 - all three kinds


def _remove_known(text: str, known: Iterable[str]) -> str:
    """The text without the known values."""
    values = frozenset(part for value in known for part in _parts(value) if len(part) >= MIN_LENGTH)
    whole, split = _all_forms(values)
    for form in whole:
        text = text.replace(form, REMOVED)
    if not split:
        return text
    skeleton, places = _skeleton(text)
    folded = _fold(skeleton)
    hidden = [span for form in split for span in _spans(folded, form)]
    for start, end in sorted(_merged(hidden), reverse=True):
        text = text[: places[start]] + REMOVED + text[places[end - 1] + 1 :]
    return text


@functools.lru_cache(maxsize=4)
def _all_forms(values: frozenset[str]) -> tuple[list[str], list[str]]:
    """Every form of these values, the longest first: as it is written, and folded without what may split it.

    Cached for the texts of one collection of evidence, which share their values.
    """
    forms = {form for value in values for form in _forms(value)}
    split = {_fold(_skeleton(form)[0]) for form in forms}
    long_enough = (form for form in split if len(form) >= MIN_SPLIT_LENGTH)
    return sorted(forms, key=len, reverse=True), sorted(long_enough, key=len, reverse=True)


def _fold(text: str) -> str:
    """The text in lower case, character by character, so that places stay what they are."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def _parts(value: str) -> Iterator[str]:
    """A value, its lines, and the password and query of a URL."""
    yield value
    yield value.strip()
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= MIN_SPLIT_LENGTH)
    if "://" in value:
        try:
            password = urlsplit(value).password
        except ValueError:
            return
        if password:
            yield password
            yield unquote(password)


def _forms(value: str) -> Iterator[str]:
    """The forms in which programs write a value."""
    raw = value.encode()
    yield value
    yield value.upper()
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(value))[3:-3]
    yield repr(value)[1:-1]
    yield html.escape(value)
    yield "".join(f"&#{ord(character)};" for character in value)
    yield "".join(f"\\u{ord(character):04x}" for character in value)
    for encoded in (quote(value, safe=""), quote(value), quote_plus(value), "".join(f"%{byte:02X}" for byte in raw)):
        yield encoded
        yield encoded.lower()
        yield quote(encoded, safe="")
    if len(raw) < MIN_LENGTH:
        return
    yield raw.hex()
    yield raw.hex().upper()
    yield raw.hex(":")
    yield raw.hex(" ")
    yield "".join(f"\\x{byte:02x}" for byte in raw)
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        yield from _base64_forms(raw, encode)
        yield from _base64_forms(encode(raw), encode)
    yield base64.b32encode(raw).decode().rstrip("=")


def _base64_forms(raw: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    """The characters that a value has in Base64, wherever in the encoded text it begins (RFC 4648, section 4)."""
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        characters = encode(b"\0" * before + raw).decode()
        form = characters[skipped : (before + len(raw)) * 8 // 6]
        if len(form) >= MIN_LENGTH:
            yield form


def _skeleton(text: str) -> tuple[str, list[int]]:
    """The text without what may split a secret, and where each character of the rest stands."""
    kept: list[str] = []
    places: list[int] = []
    position = 0
    for found in _ENDS.finditer(text):
        kept.append(text[position : found.start()])
        places.extend(range(position, found.start()))
        position = found.end()
    kept.append(text[position:])
    places.extend(range(position, len(text)))
    return "".join(kept), places


def _spans(text: str, form: str) -> Iterator[tuple[int, int]]:
    """Where a form stands in the text; at its ends also a piece of it."""
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + len(form))
    for start in _places(text, form[:MIN_PIECE], max(0, len(text) - len(form) + 1), len(text)):
        if form.startswith(text[start:]):
            yield start, len(text)
            break
    for start in _places(form, text[:MIN_PIECE], max(0, len(form) - len(text)), len(form)):
        if text.startswith(form[start:]):
            yield 0, len(form) - start
            break


def _places(text: str, piece: str, start: int, end: int) -> Iterator[int]:
    """Where a piece of MIN_PIECE characters stands between two places of the text."""
    while len(piece) == MIN_PIECE and (start := text.find(piece, start, end)) >= 0:
        yield start
        start += 1


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans without overlaps."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
