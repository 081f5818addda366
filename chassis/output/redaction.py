r"""Removes secrets from text that is stored or shown. Pure.

First the values that are known to be secret, in each form in which programs write them: as they are, split by line
ends, quotes or colour codes, escaped for JSON, HTML or Python, percent-encoded, as hexadecimal digits or lists of
numbers, as Base64 also in the middle of a longer text. Then what looks like a credential. `python -m tools.redaction`
prints what both find in a generated corpus.

What is split or escaped is looked for in views of the text: the text without what may split, the text with escapes
decoded as well, and the numbers in it as characters.

Redact first and cut then: half a secret is a form that nothing here knows. Where a text was cut before, a piece of a
known value at its beginning or end is removed, too, and one beside an ellipsis.
"""

from __future__ import annotations

import base64
import functools
import html
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
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

_SPLITTER = (
    "[\\x00-\\x20\\x7f-\\xa0\\xad\"'`\\\\\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
"""One character that shows nothing or that joins lines and literals."""
_ENDS = re2.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours of a terminal
    r"|\\r\\n|\\[nrt]"  # a line end that was escaped
    r"|[\"'`]\s*[+.]\s*[\"'`]"  # joined literals
    f"|{_SPLITTER}"
)
"""What may stand between two characters of a secret that was split."""
_TIME = r"\[?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,]{5,20}(?:Z|[+-][0-9:]{4,5})?\]?(?: std(?:out|err) [FP])?"
_ESCAPES = re2.compile(
    r"(?:&#[xX]0*|\\+[xu]\{0*)([0-9A-Fa-f]{1,6})[;}]?"
    r"|(?:\\+x|%)([0-9A-Fa-f]{2})|\\+u([0-9A-Fa-f]{4})|\\+U([0-9A-Fa-f]{8})"
    r"|&#0*([0-9]{1,7});?|\\+([0-7]{3})|(&[A-Za-z]{2,8};)"
    r"|[^\x08]\x08"  # a character that the next one is written over
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # links and titles of a terminal
    rf"|(?:\n|\\n)[ \t]*(?:(?:[\w./-]{{1,60}}[ \t]*\||[|>#*+-]{{1,3}}|//|{_TIME})[ \t])+"  # what stands before a line
)
"""One character that was escaped, in groups by base, the last one an entity of HTML with a name; and what may split a
secret, but may also be a part of it."""
_ENDS_AND_ESCAPES = re2.compile(f"{_ESCAPES.pattern}|{_ENDS.pattern}")
_BASES = (16, 16, 16, 16, 10, 8)
"""Of the groups of _ESCAPES."""
_NUMBER = r"-?(?:0[xX])?[0-9A-Fa-f]{1,7}"
_NUMBERS = re2.compile(rf"{_NUMBER}(?:(?:[\s,;]{{1,40}}|[:.-]){_NUMBER}){{3,}}")
_ONE_NUMBER = re.compile(rf"(?<![0-9A-Fa-f]){_NUMBER}")
_CUT = re2.compile(r"\.{3,}|…+|\*{3,}|[(\[<]trunc[a-z]*[)\]>]?")
"""What a writer puts behind a value that it has cut, or in front."""


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


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text as somebody reads it who joins or decodes another one, in lower case."""

    text: str
    starts: list[int]
    """Where in the other text that begins which each character stands for."""
    ends: list[int]


@dataclass(frozen=True, slots=True)
class _Forms:
    """Every form of the known values, the longest first."""

    whole: list[str]
    """As it is written."""
    split: list[str]
    """Folded, without what may split it."""
    decoded: list[str]
    """The same, and as it is once escapes are decoded."""
    numbers: list[str]
    """Characters, and bytes as characters, folded."""


def _remove_known(text: str, known: Iterable[str]) -> str:
    """The text without the known values."""
    forms = _all_forms(frozenset(part for value in known for part in _parts(value) if len(part) >= MIN_LENGTH))
    for form in forms.whole:
        text = text.replace(form, REMOVED)
    hidden = [
        (view.starts[start], view.ends[end - 1])
        for view, wanted in _views(text, forms)
        for start, end in _spans(view.text, wanted)
    ]
    kept: list[str] = []
    position = 0
    for start, end in _merged(hidden):
        kept += (text[position:start], REMOVED)
        position = end
    return "".join([*kept, text[position:]])


def _views(text: str, forms: _Forms) -> Iterator[tuple[_Reading, list[str]]]:
    """The views of a text that differ, each with the forms to look for in it."""
    if forms.split:
        yield _join(text, _ENDS), forms.split
        if _ESCAPES.search(text):
            yield _join(text, _ENDS_AND_ESCAPES), forms.decoded
    if forms.numbers and _NUMBERS.search(text):
        yield from ((_read_numbers(text, base), forms.numbers) for base in (10, 16))


@functools.lru_cache(maxsize=4)
def _all_forms(values: frozenset[str]) -> _Forms:
    """Every form of these values. Cached for the texts of one collection of evidence, which share their values."""
    forms = {form for value in values for form in _forms(value)}
    split = {_join(form, _ENDS).text for form in forms}
    plain = {form for value in values for form in (value, value.encode().decode("latin-1"))}
    decoded = split | {_join(form, tokens).text for form in plain for tokens in (_ENDS, _ENDS_AND_ESCAPES)}
    return _Forms(
        _longest_first(forms, 0),
        _longest_first(split, MIN_SPLIT_LENGTH),
        _longest_first(decoded, MIN_SPLIT_LENGTH),
        _longest_first({_fold(form) for form in plain}, MIN_LENGTH),
    )


def _longest_first(forms: Iterable[str], least: int) -> list[str]:
    """Those that are long enough."""
    return sorted((form for form in forms if len(form) >= least), key=len, reverse=True)


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
    for pattern in ("&#{:d};", "&#x{:x};", "\\u{:04x}", "\\u{{{:x}}}"):
        yield "".join(pattern.format(ord(character)) for character in value)
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
    for pattern in ("\\x{:02x}", "\\{:03o}"):
        yield "".join(pattern.format(byte) for byte in raw)
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


def _join(text: str, tokens: re2._Regexp) -> _Reading:
    """The text without what may split a secret, and with what _ESCAPES finds decoded."""
    kept: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for found in tokens.finditer(text):
        start, end = found.span()
        decoded = _decode(found.groups())
        kept += (text[position:start], decoded)
        starts += (*range(position, start), *[start] * len(decoded))
        ends += (*range(position + 1, start + 1), *[end] * len(decoded))
        position = end
    kept.append(text[position:])
    starts.extend(range(position, len(text)))
    ends.extend(range(position + 1, len(text) + 1))
    return _Reading(_fold("".join(kept)), starts, ends)


def _decode(groups: Sequence[str | None]) -> str:
    """The character that was escaped; empty where it splits only, or none was."""
    if not any(groups):
        return ""
    *numbers, entity = groups
    character = html.unescape(entity) if entity else ""
    for digits, base in zip(numbers, _BASES, strict=True):
        if digits:
            character = _character(int(digits, base))
    return "" if _ENDS.fullmatch(character) else character


_SURROGATES = range(0xD800, 0xE000)


def _character(code: int) -> str:
    """The character of a code point, or of a byte that is written with its sign; empty where there is none.

    Half a pair of UTF-16 is none: RE2 reads UTF-8, which has no such thing.
    """
    code = code + 256 if -128 <= code < 0 else code  # noqa: PLR2004 - a signed byte
    return chr(code) if 0 <= code <= sys.maxunicode and code not in _SURROGATES else ""


def _read_numbers(text: str, base: int) -> _Reading:
    """The lists of numbers in the text as characters; a line end stands for what is no number of this base."""
    kept: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for run in _NUMBERS.finditer(text):
        for found in _ONE_NUMBER.finditer(run[0]):
            try:
                character = _character(int(found[0], 16 if "x" in found[0].lower() else base))
            except ValueError:
                character = ""
            kept.append(character or "\n")
            starts.append(run.start() + found.start())
            ends.append(run.start() + found.end())
        kept.append("\n")
        starts.append(run.end())
        ends.append(run.end())
    return _Reading(_fold("".join(kept)), starts, ends)


def _spans(text: str, forms: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the forms stand in the text; at its ends, and where their writer has cut them, also pieces of them."""
    for form in forms:
        start = text.find(form)
        while start >= 0:
            yield start, start + len(form)
            start = text.find(form, start + len(form))
    cuts = [found.span() for found in _CUT.finditer(text)]
    joined = "".join(f"{form}\0" for form in forms)
    for end in (len(text), *(start for start, _ in cuts)):
        for place in _places(joined, text[max(0, end - MIN_PIECE) : end]):
            piece = joined[joined.rfind("\0", 0, place) + 1 : place + MIN_PIECE]
            if text.endswith(piece, 0, end):
                yield end - len(piece), end
                break
    for start in (0, *(end for _, end in cuts)):
        for place in _places(joined, text[start : start + MIN_PIECE]):
            piece = joined[place : joined.index("\0", place)]
            if text.startswith(piece, start):
                yield start, start + len(piece)
                break


def _places(text: str, piece: str) -> Iterator[int]:
    """Where a piece of MIN_PIECE characters stands in the text."""
    start = -1
    while len(piece) == MIN_PIECE and (start := text.find(piece, start + 1)) >= 0:
        yield start


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans without overlaps."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
