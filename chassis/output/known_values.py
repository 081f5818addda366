r"""Finds known secret values in a text, in every form that programs write. Pure.

Forms: plain; split by line ends, quotes or colour codes; escaped for JSON, HTML or Python; percent-encoded; as
hexadecimal digits or lists of numbers; as Base64, even inside a longer text.

Split and escaped values are searched in views of the text: without splitting characters, with escapes decoded as well,
and with numbers as characters. In a text that was cut, pieces of a known value at either end or beside an ellipsis are
found too.

The time is linear in the length of the text and of the values, whatever their content. The caller bounds both.
"""

from __future__ import annotations

import base64
import bisect
import functools
import html
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote, urlsplit

import re2

MIN_LENGTH = 4
"""A shorter value is not treated as a secret: removing it would blank half of the text."""
MIN_SPLIT_LENGTH = 8
"""A shorter value is searched only in one piece."""
MIN_PIECE = 6
"""Shortest piece of a known value that is removed at an end of the text."""
MAX_COMPARISONS = 100_000
"""Most comparisons of pieces beside a cut with the values of one view. A text that needs more was crafted for it: every
further piece that occurs in a value counts as a piece of the longest one.
"""
MAX_SEARCHES = 100
"""Above this number of words, one pass over the text is faster than a search for each."""
_SPLITTER = (
    "[\\x00-\\x20\\x7f-\\xa0\\xad\"'`\\\\\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
"""One invisible character, or one that joins lines and literals."""
_ENDS = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours of a terminal
    r"|\\r\\n|\\[nrt]"  # a line end that was escaped
    r"|[\"'`][\t\n\f\r ]*[+.][\t\n\f\r ]*[\"'`]"  # joined literals
    f"|{_SPLITTER}"
)
"""Text that may appear between two characters of a split secret. Every repetition ends at a character that begins no
match, so the standard engine, here much faster than RE2's bindings, reads each character only a few times.
"""
_TIME = r"\[?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,]{5,20}(?:Z|[+-][0-9:]{4,5})?\]?(?: std(?:out|err) [FP])?"
_ESCAPES = re2.compile(
    r"(?:&#[xX]0*|\\+[xu]\{0*)([0-9A-Fa-f]{1,6})[;}]?"
    r"|(?:\\+x|%)([0-9A-Fa-f]{2})|\\+u([0-9A-Fa-f]{4})|\\+U([0-9A-Fa-f]{8})"
    r"|&#0*([0-9]{1,7});?|\\+([0-7]{3})|(&[A-Za-z]{2,8};)"
    r"|[^\x08]\x08"  # a character that is overwritten by the next one
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # links and titles of a terminal
    rf"|(?:\n|\\n)[ \t]*(?:(?:[\w./-]{{1,60}}[ \t]*\||[|>#*+-]{{1,3}}|//|{_TIME})[ \t])+"  # the text before a line
)
"""One escaped character, in groups by base (the last is a named HTML entity); and text that may split a secret but may
also be part of it.
"""
_ENDS_AND_ESCAPES = re2.compile(f"{_ESCAPES.pattern}|{_ENDS.pattern}")
_BASES = (16, 16, 16, 16, 10, 8)
"""Bases of the groups of _ESCAPES."""
_NUMBER = r"-?(?:0[xX])?[0-9A-Fa-f]{1,7}"
_NUMBERS = re2.compile(rf"{_NUMBER}(?:(?:[\s,;]{{1,40}}|[:.-]){_NUMBER}){{3,}}")
_ONE_NUMBER = re.compile(rf"(?<![0-9A-Fa-f]){_NUMBER}")
_CUT = re2.compile(r"\.{3,}|…+|\*{3,}|[(\[<]trunc[a-z]*[)\]>]?")
"""Marks that writers put before or after a cut value."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text after its pieces are joined or its escapes decoded, in lower case.

    It consists of sections. A section is a copy of the other text, or as a whole represents a part of it.
    """

    text: str
    begins: list[int]
    """Where in this text each section begins; a section may be empty."""
    origins: list[int]
    """Where in the other text it begins."""
    ends: list[int]
    """Where in the other text it ends; 0 for a copy."""

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The part of the other text that this part represents; not empty, `start` < `end`."""
        first, last = bisect.bisect_right(self.begins, start) - 1, bisect.bisect_left(self.begins, end) - 1
        return (
            self.origins[first] if self.ends[first] else self.origins[first] + start - self.begins[first],
            self.ends[last] or self.origins[last] + end - self.begins[last],
        )


class _Sections:
    """A reading that is being built."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._length = 0
        self._begins: list[int] = []
        self._origins: list[int] = []
        self._ends: list[int] = []

    def add(self, text: str, origin: int, end: int = 0) -> None:
        """Appends a copy, or with `end` a representation of the other text up to there."""
        self._kept.append(text)
        self._begins.append(self._length)
        self._origins.append(origin)
        self._ends.append(end)
        self._length += len(text)

    def read(self) -> _Reading:
        """The reading of all sections."""
        return _Reading(_fold("".join(self._kept)), self._begins, self._origins, self._ends)


@dataclass(frozen=True, slots=True)
class _Forms:
    """Every form of the known values, the longest first."""

    whole: list[str]
    """As it is written."""
    split: list[str]
    """Folded, without splitting characters."""
    decoded: list[str]
    """The same, with escapes decoded."""
    numbers: list[str]
    """Characters, and bytes as characters, folded."""


def searched_values(known: Iterable[str]) -> frozenset[str]:
    """The searched texts: the values, their lines, passwords in URLs; nothing too short to be a secret."""
    return frozenset(part for value in known for part in _parts(value) if len(part) >= MIN_LENGTH)


def find_known(text: str, values: frozenset[str]) -> list[tuple[int, int]]:
    """Positions of the searched values in the text, in order and without overlaps."""
    forms = _all_forms(values)
    found = [span for form in forms.whole for span in _occurrences(text, form)]
    for view, wanted in _views(text, forms):
        found += (view.origin(start, end) for start, end in _spans(view.text, wanted))
    return _merged(found)


def _views(text: str, forms: _Forms) -> Iterator[tuple[_Reading, list[str]]]:
    """The distinct views of a text, each with the forms to search in it."""
    if forms.split:
        yield _joined(text), forms.split
        if _ESCAPES.search(text):
            yield _decoded(text), forms.decoded
    if forms.numbers and _NUMBERS.search(text):
        yield from ((_read_numbers(text, base), forms.numbers) for base in (10, 16))


@functools.lru_cache(maxsize=2)
def _all_forms(values: frozenset[str]) -> _Forms:
    """Every form of these values. Cached, because the texts of one collection of evidence share their values."""
    forms = {form for value in values for form in _forms(value)}
    split = {_fold(_ENDS.sub("", form)) for form in forms}
    plain = {form for value in values for form in (value, value.encode().decode("latin-1"))}
    decoded = split | {_fold(_ENDS.sub("", form)) for form in plain} | {_decoded(form).text for form in plain}
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
    """The text in lower case, character by character, so that positions stay the same."""
    if text.isascii():
        return text.lower()
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


def _joined(text: str) -> _Reading:
    """The text without characters that may split a secret."""
    sections, position = _Sections(), 0
    for found in _ENDS.finditer(text):
        if found.start() > position:
            sections.add(text[position : found.start()], position)
        position = found.end()
    sections.add(text[position:], position)
    return sections.read()


def _decoded(text: str) -> _Reading:
    """The text without characters that may split a secret, and with the matches of _ESCAPES decoded."""
    sections, position = _Sections(), 0
    for found in _ENDS_AND_ESCAPES.finditer(text):
        start, end = found.span()
        if start > position:
            sections.add(text[position:start], position)
        if character := _decode(found.groups()):
            sections.add(character, start, end)
        position = end
    sections.add(text[position:], position)
    return sections.read()


def _decode(groups: Sequence[str | None]) -> str:
    """The escaped character; empty if it only splits, or if there is none."""
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
    """The character of a code point, or of a byte written with its sign; empty if there is none.

    A lone surrogate has none, because RE2 reads UTF-8.
    """
    code = code + 256 if -128 <= code < 0 else code  # noqa: PLR2004 - a signed byte
    return chr(code) if 0 <= code <= sys.maxunicode and code not in _SURROGATES else ""


def _read_numbers(text: str, base: int) -> _Reading:
    """The lists of numbers in the text as characters.

    A line end replaces anything that is not a number of this base.
    """
    sections = _Sections()
    for run in _NUMBERS.finditer(text):
        offset = run.start()
        for found in _ONE_NUMBER.finditer(run[0]):
            try:
                character = _character(int(found[0], 16 if "x" in found[0].lower() else base))
            except ValueError:
                character = ""
            sections.add(character or "\n", offset + found.start(), offset + found.end())
        sections.add("\n", run.end(), run.end())
    return sections.read()


def _spans(text: str, forms: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The positions of the forms in the text, and of parts of them at its ends and cuts."""
    for form in forms:
        yield from _occurrences(text, form)
    cuts = [found.span() for found in _CUT.finditer(text)]
    size = len(text)
    for end, length in _beginnings(text, [*(start for start, _ in cuts), size], forms):
        yield max(0, end - length), end
    # The rest of a value whose beginning was cut off is the same case, read backwards.
    ends = [size, *(size - end for _, end in cuts)]
    for end, length in _beginnings(text[::-1], ends, [form[::-1] for form in forms]):
        yield size - end, min(size, size - end + length)


def _beginnings(text: str, ends: Sequence[int], forms: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Which of these ends in the text follow the beginning of a form, and its length."""
    last_words = [text[max(0, end - MIN_PIECE) : end] for end in ends]
    joined = "".join(f"{form}\0" for form in forms)
    places = _places(joined, {word for word in last_words if len(word) == MIN_PIECE})
    comparisons = 0
    for end, word in zip(ends, last_words, strict=True):
        for place in places.get(word, ()):
            comparisons += 1
            if comparisons > MAX_COMPARISONS:
                yield end, len(forms[0])
                break
            beginning = joined[joined.rfind("\0", 0, place) + 1 : place + MIN_PIECE]
            if text.endswith(beginning, 0, end):
                yield end, len(beginning)
                break


def _places(text: str, words: Collection[str]) -> Mapping[str, list[int]]:
    """The positions of these words of MIN_PIECE characters in the text."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    if len(words) > MAX_SEARCHES:
        for start in range(len(text) - MIN_PIECE + 1):
            if (word := text[start : start + MIN_PIECE]) in words:
                places[word].append(start)
        return places
    for word in words:
        start = text.find(word)
        while start >= 0:
            places[word].append(start)
            start = text.find(word, start + 1)
    return places


def _occurrences(text: str, form: str) -> Iterator[tuple[int, int]]:
    """The start and end of each place where the text has the form."""
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + len(form))


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans without overlaps."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
