"""The man pages are what the parsers say, whatever the terminal, and name every command and option."""

from __future__ import annotations

import argparse

import pytest

from exporter.__main__ import PROGRAM, grants_parser, parser
from exporter.collectors import discover
from remediations.__main__ import build_parser
from tests.fakes.golden import read_generated
from tools.generate.man_pages import FOLDER, Program, pages, write_page

PARSERS = {PROGRAM: [parser(discover()), grants_parser(discover())], "controlcore-remediator": [build_parser()]}


def every(part: argparse.ArgumentParser) -> list[argparse.Action]:
    """The actions of a parser and of its commands."""
    found = list(part._actions)
    for action in part._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [below for child in action.choices.values() for below in every(child)]
    return found


def test_pages_are_those_of_the_parsers() -> None:
    for path, page in pages().items():
        assert read_generated(path) == page
    assert set(FOLDER.iterdir()) == pages().keys()


@pytest.mark.parametrize("name", PARSERS)
def test_page_names_every_command_and_option(name: str) -> None:
    page = (FOLDER / f"{name}.1").read_text(encoding="utf-8").replace("\\-", "-")
    actions = [action for part in PARSERS[name] for action in every(part)]
    options = {option for action in actions for option in action.option_strings} - {"-h", "--help"}
    commands = {each for action in actions if isinstance(action, argparse._SubParsersAction) for each in action.choices}

    assert options
    assert {option for option in options if f"\\fB{option}\\fR" not in page} == set()
    assert {command for command in commands if f".SS \\fB{name} {command}\\fR" not in page} == set()


@pytest.mark.parametrize("name", PARSERS)
def test_every_command_and_option_says_what_it_does(name: str) -> None:
    actions = [action for part in PARSERS[name] for action in every(part)]
    said = [each for each in actions if not isinstance(each, argparse._SubParsersAction)]

    assert [action.option_strings or action.dest for action in said if not action.help] == []


def test_width_of_the_terminal_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    assert pages() == {path: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}


def test_option_of_every_command_is_described_once() -> None:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--all-over", help="for each of them")
    root = argparse.ArgumentParser(prog="a-program", parents=[shared])
    commands = root.add_subparsers(title="commands")
    child = commands.add_parser("list", parents=[shared], help="what there is")
    child.add_argument("--share", metavar="%", help="of them")

    page = write_page(root, Program("does", ".B a-program", {0: "done"}, {"files": "a-file"}))

    assert page.count("for each of them") == 1
    assert "usage: a\\-program list [\\-\\-share %]" in page
    assert ".SH EXIT STATUS\n.TP\n.B 0\ndone\n.SH FILES\na\\-file\n" in page
