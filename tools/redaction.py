"""Prints how much of a generated corpus of secrets the remediator removes: `python -m tools.redaction`.

The first part writes known values in many forms: each must be found. The second writes unknown values in the forms in
which programs usually print credentials; patterns find most of them, never all.
"""

from __future__ import annotations

import base64
import html
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, quote_plus

from chassis.output.redaction import remove_secrets

SECRETS = ("s3cr3t-Word/77", "hunter2hunter2", "p@ss w:rd&4%x", "qu\"ote'd\\9x1", "Grüße-aus-07", "0123456789abcdef")
"""Values with the characters that encodings change."""
UNKNOWN = ("Zq7-pLx9/Tt42kd", "correct7horse7battery", "kX93mmQ1aB77zzT4")
"""Values that only a pattern can find."""


PIECE = 6
"""Characters of a secret that must not be left."""


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _join_halves(mark: str, text: str) -> str:
    return mark.join(_halves(text))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


BETWEEN = {
    "escaped line end": "\\n",
    "continued line": "\\\n",
    "joined literals": '" + "',
    "colour between": "\x1b[31m",
    "zero-width space": "\u200b",
    "no-break space": "\xa0",
    "soft hyphen": "\xad",
    "NUL": "\0",
    "backspace": "\b",
    "C1 colour": "\x9b1;31m",
    "link of a terminal": "\x1b]8;;http://x\x1b\\",
    "escaped no-break space": "&nbsp;",
    "escaped zero-width space": "\\u200b",
    "variation selector": "\ufe0f",
    "wide space": "\u3000",
    "gutter": "\n  | ",
    "quotation": "\n> ",
    "comment": "\n# ",
    "numbered": "\n  12 | ",
    "name of a container": "\napi-1  | ",
    "time": "\n2026-11-01T03:04:05.123456789Z stdout F ",
}
"""Text between the halves of a split value."""
ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "json": lambda text: json.dumps(text)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text))[3:-3],
    "repr": lambda text: repr(text)[1:-1],
    "html": html.escape,
    "html numbers": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "percent": lambda text: quote(text, safe=""),
    "percent, small": lambda text: quote(text, safe="").lower(),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "percent, every byte": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "form": quote_plus,
    "hexadecimal": lambda text: text.encode().hex(),
    "HEXADECIMAL": lambda text: text.encode().hex().upper(),
    "hexadecimal with colons": lambda text: text.encode().hex(":"),
    "\\x": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "\\u": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "base64": _base64,
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: _base64(text).rstrip("="),
    "base64 of user:secret": lambda text: _base64(f"user:{text}"),
    "base64 in the middle, 1": lambda text: _base64(f"a{text}zz"),
    "base64 in the middle, 2": lambda text: _base64(f"ab{text}z"),
    "base64 twice": lambda text: _base64(_base64(text)),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "split by a line end": "\n".join,
    "halves on two lines": lambda text: "\n    ".join(_halves(text)),
    "halves of base64, wrapped": lambda text: "\n".join(_halves(_base64(text))),
    "html hexadecimal": lambda text: "".join(f"&#x{ord(c):x};" for c in text),
    "HTML hexadecimal, padded": lambda text: "".join(f"&#X{ord(c):04X};" for c in text),
    "html numbers, some": lambda text: "".join(f"&#{ord(c)};" if n % 3 else c for n, c in enumerate(text)),
    "octal": lambda text: "".join(f"\\{byte:03o}" for byte in text.encode()),
    "\\u{}": lambda text: "".join(f"\\u{{{ord(c):x}}}" for c in text),
    "\\U": lambda text: "".join(f"\\U{ord(c):08x}" for c in text),
    "\\x, some": lambda text: "".join(f"\\x{b:02x}" if b > 0x70 else chr(b) for b in text.encode()),
    "numbers": lambda text: ", ".join(str(byte) for byte in text.encode()),
    "numbers of characters, lines": lambda text: ",\n  ".join(str(ord(c)) for c in text),
    "signed numbers": lambda text: " ".join(str(byte - 256 if byte > 127 else byte) for byte in text.encode()),
    "0x": lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    "hexadecimal with commas": lambda text: ", ".join(f"{byte:02X}" for byte in text.encode()),
    "hexadecimal with dashes": lambda text: text.encode().hex("-"),
    "struck over": lambda text: "".join(f"{c}\b{c}" for c in text),
    "cut, dots": lambda text: f"{text[:-3]}...",
    "cut, ellipsis": lambda text: f"{text[:-3]}…",
    "cut, word": lambda text: f"{text[:-3]} (truncated)",
    "cut, mask": lambda text: f"{text[:-3]}*****",
    "cut, front": lambda text: f"...{text[3:]}",
    **{f"halves, {name}": partial(_join_halves, mark) for name, mark in BETWEEN.items()},
}
CONTEXTS: Mapping[str, str] = {
    "alone": "{}",
    "sentence": "login failed with {} at 12:00",
    "url": "postgresql://app:{}@db:5432/x?sslmode=require",
    "query": "GET /cb?code={}&state=x HTTP/1.1",
    "json": '{{"note": "{}"}}',
    "shell": "run --with '{}' now",
    "at the end": "the value is {}",
}
NAMES = (
    "password", "DB_PASSWORD", "passwd", "pwd", "passphrase", "secret", "client_secret", "SECRET_KEY", "token",
    "access_token", "X-Api-Key", "api_key", "apikey", "credentials", "private_key", "aws_secret_access_key",
    "sessionid", "session_id", "authorization", "signature", "connection_string", "PGPASSWORD", "encryption-key",
)  # fmt: skip
SYNTAXES = (
    "{name}={value}", "{name}: {value}", '{name}="{value}"', "{name}='{value}'", '"{name}": "{value}"',
    '\\"{name}\\":\\"{value}\\"', "{name} => {value}", "--{name} {value}", "--{name}={value}", "?{name}={value}&x=1",
    "<{name}>{value}</{name}>", "{name} is '{value}'", "{{name: {name}, value: {value}}}", "export {name}={value}",
)  # fmt: skip
SHAPES = (
    "Authorization: Bearer {}", "authorization: Basic {}", "Proxy-Authorization: Digest {}", "Cookie: sid={}; a=b",
    "Set-Cookie: sid={}; Path=/", "curl -u admin:{} http://x", "redis://:{}@cache:6379", "amqp://u:{}@mq",
    "ALTER USER x PASSWORD '{}'", "IDENTIFIED BY '{}'", "-----BEGIN RSA PRIVATE KEY-----\n{}", "ghp_{}0123456789",
    "sk_live_{}0123", "xoxb-{}-1234567", "AKIA{}01234567", "glpat-{}0000000", "eyJhbGciOiJIUzI1NiJ9.{}.x", "hvs.{}0000",
    "$2b$12${}0123456789", "the key {} was refused", "using {} as key", "login with {} failed",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One text with a secret in it."""

    form: str
    text: str
    secret: str
    written: str
    """The secret in its form in the text."""


def known_samples() -> Iterator[Sample]:
    """Known values in every encoding and context."""
    for encoding, encode in ENCODINGS.items():
        for context, text in CONTEXTS.items():
            for secret in SECRETS:
                written = encode(secret)
                yield Sample(f"{encoding}, {context}", text.format(written), secret, written)


def pattern_samples() -> Iterator[Sample]:
    """Unknown values, in the forms in which programs print credentials."""
    for value in UNKNOWN:
        for syntax in SYNTAXES:
            for name in NAMES:
                yield Sample(syntax, syntax.format(name=name, value=value), value, value)
        for shape in SHAPES:
            yield Sample(shape, shape.format(value), value, value)


def is_removed(sample: Sample, text: str) -> bool:
    """Whether no six characters of the secret are left, and no two thirds of what was written in its place.

    Base64 of a longer text begins and ends with characters that are not the secret's.
    """
    pieces = [(sample.secret, PIECE), (sample.written, max(PIECE, len(sample.written) * 2 // 3))]
    return not any(
        whole[start : start + size] in text for whole, size in pieces for start in range(len(whole) - size + 1)
    )


def missed(samples: Iterator[Sample], *, is_known: bool) -> tuple[Counter[str], Counter[str]]:
    """How many samples each form has, and how many of them were missed."""
    all_of, missed_of = Counter[str](), Counter[str]()
    for sample in samples:
        all_of[sample.form] += 1
        if not is_removed(sample, remove_secrets(sample.text, [sample.secret] if is_known else ())):
            missed_of[sample.form] += 1
    return all_of, missed_of


def main() -> int:
    """Prints both rates and every form that was missed; 1 when a known value was."""
    status = 0
    for title, samples, is_known in (
        ("known values", known_samples(), True),
        ("patterns", pattern_samples(), False),
    ):
        all_of, missed_of = missed(samples, is_known=is_known)
        total, found = all_of.total(), all_of.total() - missed_of.total()
        print(f"{title}: {found} of {total} samples in {len(all_of)} forms, {found / total:.1%}")
        for form, number in missed_of.most_common():
            print(f"  missed {number} of {all_of[form]}: {form!r}")
        status |= is_known and found < total
    return status


if __name__ == "__main__":
    sys.exit(main())
