"""Removes secrets from stored or displayed text. Pure.

First the known secret values, in every form (`known_values`), then anything that looks like a credential. `python -m
tools.redaction` prints what both find in a generated corpus.

Redact before cutting: half a secret is not recognised.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections.abc import Iterable

import re2

from chassis.output.known_values import find_known, searched_values

REMOVED = "[removed]"
MAX_TEXT = 64 * 1024
"""Characters of a text that are searched; the rest is dropped. No caller shows or stores as much."""
MAX_WORD = 1024
"""A text is cut between two words if there is a space within this many characters before the cut."""
MAX_KNOWN = 16 * 1024
"""Most characters of all known values together. Above it, no text is shown."""
MAX_VALUES = 256
"""Most known values, each line of a value counted too. Above it, no text is shown."""

CREDENTIAL_WORD = (
    r"passw(?:or)?d|passwd|passphrase|passcode|\bpass\b|_pass\b|pwd|secret|token|credential|api[_-]?key|apikey"
    r"|(?:access|private|signing|encryption|master|account|shared)[_-]?key|authorization|auth[_-]?key"
    r"|cookie|session[_-]?id"
    r"|connection[_-]?string|\bdsn\b|signature|\bsig\b|x-amz-credential|_auth\b|\bsas\b"
)
"""Words in names of variables, headers and options whose values are secrets."""
_NAMED = re.compile(rf"(?:{CREDENTIAL_WORD}|pass|key|auth|dsn|_url$)", re.IGNORECASE)


def _pattern(text: str) -> re2._Regexp:
    """A pattern that ignores case; its group 1, if any, stays."""
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
    # password is "value", also without quotes if it contains a digit
    _pattern(rf"({_NAME}\s+(?:is|was|set to|to)\s+)(?:{_QUOTED}|\S*\d\S*)"),
    # {"name": "DB_PASSWORD", "value": "…"}, as an environment is printed
    _pattern(rf"(name\\*[\"']?\s*[:=]\s*\\*[\"']?{_NAME}\\*[\"']?\s*,?\s*\\*[\"']?value\\*[\"']?\s*[:=]\s*){_VALUE}"),
    # --name value, -name value
    _pattern(rf"((?:^|\s)--?{_NAME}[ ]+){_VALUE}"),
    # sql: PASSWORD 'x', IDENTIFIED BY 'x'
    _pattern(rf"((?:password|identified\s+by|auth)\s+){_QUOTED}"),
    # JSON Web Tokens
    _pattern(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_=-]*)*"),
    # Tokens with a prefix that names their issuer.
    _pattern(
        r"\b(?:AKIA|ASIA|AIza|ya29\.|gh[pousr]_|github_pat_|glpat-|npm_|pypi-|xox[abeoprs]-|[sprk]k_(?:live|test)_|SG\."
        r"|hv[sbr]\.|dop_v1_|shp(?:at|ss)_|dckr_pat_|sq0[a-z]{3}-|rdme_|lin_api_|AGE-SECRET-KEY-)[A-Za-z0-9_./+=-]{8,}"
    ),
    # Hashes of passwords
    _pattern(r"\$(?:2[abxy]|5|6|argon2[id]{1,2}|scrypt|pbkdf2[a-z0-9-]*|y)\$[A-Za-z0-9./+=,$-]{8,}"),
    _pattern(r"\b(?:SCRAM-SHA-256\$|md5[0-9a-f]{32}\b)[A-Za-z0-9+/=:$]*"),
)
PLAIN_SENTENCES = (
    "cannot read ",
    *(os.strerror(code) for code in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EIO)),
)
"""Text after `…token: ` or `…password: ` in sentences about such a file: these words are not secrets."""
FILE_NAMES = ("_file", "-file")
"""Suffixes of settings and options whose value is the path of a secret, not the secret."""
_LONG = re.compile(r"[A-Za-z0-9_+/=-]{20,}")
"""A word that may be a key; `_is_key` decides by its mixture of characters."""
_HEXADECIMAL = re2.compile(r"(?i)(sha(?:1|256|384|512):)?\b[0-9a-f]{32,}\b")


def is_secret_name(name: str) -> bool:
    """Whether a variable or option with this name usually contains a secret."""
    return _NAMED.search(name) is not None


def remove_secrets(text: str, known: Iterable[str] = ()) -> str:
    """The text without the known values in any form, and without anything that looks like a credential.

    Takes at most a second or two, whatever the content. A text of more than MAX_TEXT characters is cut, with a note of
    how much is missing. With more known values than can be searched, no part of the text is returned.
    """
    values = searched_values(known)
    if len(values) > MAX_VALUES or sum(map(len, values)) > MAX_KNOWN:
        return f"{REMOVED} ({len(text)} characters: there are more known secrets than can be searched)"
    # RE2 reads UTF-8, which has no lone surrogates.
    text = text.encode(errors="backslashreplace").decode()
    kept = text if len(text) <= MAX_TEXT else _cut(text)
    plain = _replace(kept, find_known(kept, values))
    for pattern in PATTERNS:
        plain = pattern.sub(_replaced, plain)
    plain = _HEXADECIMAL.sub(lambda found: found[0] if found[1] else REMOVED, plain)
    plain = _LONG.sub(lambda found: REMOVED if _is_key(found[0]) else found[0], plain)
    return plain if kept is text else f"{plain} (cut: {len(text) - len(kept)} more characters)"


def _cut(text: str) -> str:
    """The beginning of a long text, if possible cut between two words: half a secret is not recognised."""
    end = max(text.rfind(space, MAX_TEXT - MAX_WORD, MAX_TEXT) for space in " \n")
    return text[: end if end > 0 else MAX_TEXT]


def _replace(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with these parts replaced by the mark."""
    kept: list[str] = []
    position = 0
    for start, end in spans:
        kept += (text[position:start], REMOVED)
        position = end
    return "".join([*kept, text[position:]])


def _replaced(found: re2._Match) -> str:
    """The mark instead of the secret, between the text before and after it."""
    around = [str(group or "") for group in found.groups()]
    if around and _is_about_a_file(around[0], found.string[found.end(1) :]):
        return str(found[0])
    return "".join([*around[:1], REMOVED, *around[1:2]])


def _is_about_a_file(name: str, behind: str) -> bool:
    """Whether the text after a name is a file's path or a file error."""
    return name.rstrip("=:> \"'`\\").lower().endswith(FILE_NAMES) or behind.startswith(PLAIN_SENTENCES)


def _is_key(word: str) -> bool:
    """Whether a long word mixes upper case, lower case and digits, as keys do but names and paths do not."""
    pieces = [piece for piece in re.split(r"[/_=-]", word) if piece]
    longest = max(pieces, key=len, default="")
    if len(longest) < 16:  # noqa: PLR2004 - a name's words are shorter
        return False
    kinds = ["u" if c.isupper() else "l" if c.islower() else "d" for c in longest]
    changes = sum(kind != following for kind, following in itertools.pairwise(kinds))
    return len(set(kinds)) == 3 and changes >= len(longest) // 4  # noqa: PLR2004 - all three kinds
