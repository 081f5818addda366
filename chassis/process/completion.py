"""Completion for shells, made from an argparse parser; argparse itself has none.

bash: https://www.gnu.org/software/bash/manual/html_node/Programmable-Completion.html, zsh by its bashcompinit, fish:
https://fishshell.com/docs/current/completions.html.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Option:
    """One option, or the positional arguments that have choices (no names)."""

    names: tuple[str, ...]
    choices: tuple[str, ...]
    """Allowed values; empty means any."""
    is_file: bool
    is_flag: bool
    """Takes no value."""
    text: str


def write_completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that the shell reads."""
    commands = {"": _options(parser)} | {name: _options(child) for name, child, _ in _commands(parser)}
    texts = {name: text for name, _, text in _commands(parser)}
    if shell == "fish":
        return "".join(f"{line}\n" for line in _fish(parser.prog, commands, texts))
    begin = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return begin + _bash(parser.prog, commands, tuple(texts))


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Name, parser and help of each command."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - same
            texts = {item.dest: item.help or "" for item in action._choices_actions}  # noqa: SLF001 - same
            yield from ((name, child, texts.get(name, "")) for name, child in action.choices.items())


def _options(parser: argparse.ArgumentParser) -> tuple[Option, ...]:
    """Every option of a parser, and the positional arguments with choices."""
    return tuple(
        Option(
            tuple(action.option_strings),
            tuple(str(choice) for choice in action.choices or ()),
            action.type is Path,
            action.nargs == 0,
            "" if action.help in {None, argparse.SUPPRESS} else str(action.help),
        )
        for action in parser._actions  # noqa: SLF001 - same
        if not isinstance(action, argparse._SubParsersAction) and (action.option_strings or action.choices)  # noqa: SLF001 - same
    )


def _bash(program: str, commands: dict[str, tuple[Option, ...]], names: Sequence[str]) -> str:
    """A function of the command and the word before the cursor."""
    function = "_" + re.sub(r"\W", "_", program)
    values, words = [], []
    for command, options in commands.items():
        offered = [name for option in options for name in option.names] if command else [*names]
        offered += [choice for option in options for choice in option.choices if not option.names]
        if not command:
            offered += [name for option in options for name in option.names]
        words.append(f"    {quote(command)}) words={quote(' '.join(offered))} ;;")
        for option in options:
            if option.is_flag or not option.names:
                continue
            pattern = "|".join(quote(f"{command} {name}") for name in option.names)
            reply = "compgen -f" if option.is_file else f"compgen -W {quote(' '.join(option.choices))}"
            values.append(f'    {pattern}) COMPREPLY=($({reply} -- "$current")); return ;;')
    lines = "\n".join(values), "\n".join(words)
    return f"""{function}() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command="" words="" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case " {" ".join(names)} " in *" $word "*) command="$word"; break ;; esac
  done
  case "$command $before" in
{lines[0]}
  esac
  case "$command" in
{lines[1]}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o filenames -F {function} {program}
"""


def _fish(program: str, commands: dict[str, tuple[Option, ...]], texts: dict[str, str]) -> Iterator[str]:
    """One line for each command, option and choice."""
    yield f"complete -c {program} -f"
    for name, text in texts.items():
        yield f"complete -c {program} -n __fish_use_subcommand -a {name} -d {quote(text)}"
    for command, options in commands.items():
        when = quote(f"__fish_seen_subcommand_from {command}") if command else "__fish_use_subcommand"
        for option in options:
            line = f"complete -c {program} -n {when}"
            for name in option.names:
                line += f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}"
            line += "" if option.is_flag or not option.names else " -r"
            line += " -F" if option.is_file else f" -a {quote(' '.join(option.choices))}" if option.choices else ""
            yield line + (f" -d {quote(option.text)}" if option.text else "")
