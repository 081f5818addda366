"""The answers to a mistyped command line."""

from __future__ import annotations

import pytest

from chassis.process.command_line import CommandLine


@pytest.fixture
def parser() -> CommandLine:
    """Two options, a command with its own option, and a command that is handled earlier."""
    made = CommandLine(prog="prog", commands=("doctor",))
    made.add_argument("--config.file")
    made.add_argument("--level", choices=("debug", "info"))
    listing = made.add_subparsers(metavar="COMMAND").add_parser("list", prog="prog list")
    listing.add_argument("--reason")
    return made


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lst", "prog: error: argument COMMAND: invalid choice: 'lst' (choose from 'list'); did you mean list? prog"),
        ("--level inf", "choose from 'debug', 'info'); did you mean info? prog --help lists the options"),
        (
            "--conf-file=a",
            "prog: error: unrecognized arguments: --conf-file=a; did you mean --config.file? prog --help",
        ),
        ("--confg.file a list", "--confg.file is not an option; did you mean --config.file? prog --help lists"),
        (
            "list --reasn a",
            "prog list: error: unrecognized arguments: --reasn a; did you mean --reason? prog list --help",
        ),
        ("--docter", "unrecognized arguments: --docter; did you mean doctor? prog"),
        ("--zzz", "prog: error: unrecognized arguments: --zzz; prog --help lists the options"),
        ("--level nothing", "choose from 'debug', 'info'); prog --help lists the options"),
        ("--reas a zzz", "invalid choice: 'a' (choose from 'list'); prog --help"),
        ("--level", "prog: error: argument --level: expected one argument; prog --help lists the options"),
    ],
)
def test_mistyped_name_is_answered_in_one_line_with_what_was_meant(
    parser: CommandLine, capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(given.split())
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n"), said in error) == (2, 1, True), error


def test_arguments_of_the_process_are_read_where_none_are_given(
    parser: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["prog", "--level=info"])
    assert parser.parse_args().level == "info"
