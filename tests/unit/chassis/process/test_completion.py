"""Completions in a real bash."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from shlex import quote

import pytest

from chassis.process.completion import SHELLS, write_completion


def a_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="a-program")
    parser.add_argument("--config.file", type=Path, help="it's the settings")
    parser.add_argument("--print-completion", choices=SHELLS)
    commands = parser.add_subparsers()
    listing = commands.add_parser("list", help="what there is")
    listing.add_argument("-s", "--state", choices=("open", "closed"))
    listing.add_argument("--all", action="store_true", help=argparse.SUPPRESS)
    breaker = commands.add_parser("breaker", help="what is off")
    breaker.add_argument("what", choices=("reset",))
    breaker.add_argument("name")
    return parser


def offered(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    script = (
        f"{write_completion(a_parser(), 'bash')}\nCOMP_WORDS=({' '.join(map(quote, ('a-program', *words)))})\n"
        f'COMP_CWORD={len(words)}\n_a_program\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    ended = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("",), ["list", "breaker", "-h", "--help", "--config.file", "--print-completion"]),
        (("li",), ["list"]),
        (("list", ""), ["-h", "--help", "-s", "--state", "--all"]),
        (("list", "--state", ""), ["open", "closed"]),
        (("list", "-s", "o"), ["open"]),
        (("--config.file", "x", "list", "--a"), ["--all"]),
        (("breaker", "r"), ["reset"]),
        (("--print-completion", "f"), ["fish"]),
    ],
)
def test_bash_offers_commands_options_and_values(words, found):
    assert offered(*words) == found


def test_bash_offers_files_where_a_file_is_wanted(tmp_path):
    (tmp_path / "settings.yaml").touch()
    assert offered("--config.file", f"{tmp_path}/s") == [f"{tmp_path}/settings.yaml"]


def test_zsh_reads_the_same_by_its_emulation():
    assert write_completion(a_parser(), "zsh") == (
        "autoload -U +X bashcompinit && bashcompinit\n" + write_completion(a_parser(), "bash")
    )


def test_fish_has_a_line_for_each():
    lines = write_completion(a_parser(), "fish").splitlines()

    assert "complete -c a-program -n __fish_use_subcommand -a list -d 'what there is'" in lines
    assert "complete -c a-program -n '__fish_seen_subcommand_from list' -s s -l state -r -a 'open closed'" in lines
    assert "complete -c a-program -n '__fish_seen_subcommand_from list' -l all" in lines
    (line,) = [line for line in lines if "config.file" in line]
    assert line.endswith("""-l config.file -r -F -d 'it'"'"'s the settings'""")
