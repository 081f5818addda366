"""The command `controlcore-exporter`.

Modules that only some options need are imported when these are given: `--version` imports no collector,
`--print-metrics` no server.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chassis.errors import ConfigError
from chassis.process.build_info import version_line
from chassis.process.command_line import CommandLine, add_healthcheck_options
from chassis.process.heap import limit_heap
from chassis.process.pipe import run_in_pipe

if TYPE_CHECKING:
    from exporter.collector import CollectorSpec

PROGRAM = "controlcore-exporter"
DOCTOR = "Checks an installation from end to end and says how to fix each fault; takes the options above too."
HEALTHCHECK = "healthcheck"
"""Separate from the other commands: it starts twice a minute and needs no collector."""
EXIT_OK, EXIT_FAILED, EXIT_CONFIG = 0, 1, 2
EPILOG = "Every setting can also be given as CONTROLCORE_EXPORTER_<SECTION>__<NAME>; the command line wins."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0 success, 1 cannot serve, 2 faults in the configuration."""
    given = sys.argv[1:] if arguments is None else arguments
    limit_heap()
    return run_in_pipe(lambda: _run(given))


def _run(arguments: Sequence[str]) -> int:
    name = arguments[0] if arguments else ""
    if name == HEALTHCHECK:
        return check_health(arguments[1:])
    command = COMMANDS.get(name)
    if command is None:
        version_parser().parse_known_args(arguments)
    from exporter.collectors import discover  # noqa: PLC0415 - every collector

    specs = discover()
    try:
        return serve(specs, arguments) if command is None else command(specs, arguments[1:])
    except ConfigError as error:
        sys.stderr.writelines(f"{fault}\n" for fault in error.faults)
        return EXIT_CONFIG


def check_health(arguments: Sequence[str]) -> int:
    """The command `healthcheck`: checks the exporter that serves on this machine."""
    from chassis.http import healthcheck  # noqa: PLC0415 - only this command needs it

    options = healthcheck_parser().parse_args(arguments)
    return healthcheck.run(options, "CONTROLCORE_EXPORTER_", 9877, options.config_file)


def healthcheck_parser() -> CommandLine:
    """The command line of `healthcheck`."""
    command = CommandLine(
        prog=f"{PROGRAM} {HEALTHCHECK}",
        description="Checks the health of the exporter that serves on this machine, with TLS or without: status 0 when "
        "healthy, else 1.",
    )
    command.add_argument("--config.file", dest="config_file", type=Path, metavar="PATH", help="YAML configuration file")
    add_healthcheck_options(command)
    return command


def serve(specs: tuple[CollectorSpec, ...], arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status: 0 success, 1 cannot serve, 2 faults in the configuration."""
    options = parser(specs).parse_args(arguments)
    printed = printouts(specs, options)
    if printed:
        sys.stdout.write("".join(printed))
        return EXIT_OK
    from exporter.commands.start import start  # noqa: PLC0415 - the server

    try:
        start(specs, options.config_file, overrides(options), is_check=options.config_check)
    except OSError as error:
        sys.stderr.write(f"cannot serve: {error}\n")
        return EXIT_FAILED
    return EXIT_OK


def run_doctor(specs: tuple[CollectorSpec, ...], arguments: Sequence[str]) -> int:
    """The command `doctor`: checks the installation that these settings describe. Raises ConfigError."""
    from exporter.commands.doctor import command as doctor  # noqa: PLC0415 - only this command needs it

    options = doctor.add_options(doctor_parser(specs)).parse_args(arguments)
    return doctor.run(specs, options, overrides(options))


def print_grants(specs: tuple[CollectorSpec, ...], arguments: Sequence[str]) -> int:
    """The command `grants`: writes the SQL of a role that may run these collectors' queries and no other."""
    from exporter.commands import grants  # noqa: PLC0415

    command = grants_parser(specs)
    options = command.parse_args(arguments)
    chosen = [spec for spec in specs if options.collector is None or spec.name in options.collector]
    try:
        sys.stdout.write(grants.write(chosen, options.role, options.database))
    except ValueError as error:
        command.error(str(error))
    return EXIT_OK


def grants_parser(specs: Sequence[CollectorSpec]) -> CommandLine:
    """Prints the SQL of a role that may run these collectors' queries and no other."""
    from exporter.commands import grants  # noqa: PLC0415

    command = CommandLine(
        prog=f"{PROGRAM} grants",
        description="Prints the SQL that gives the exporter's database role the rights it needs, and no more.",
    )
    names = [spec.name for spec in specs]
    command.add_argument(
        "--collector",
        action="append",
        choices=names,
        metavar="NAME",
        help="only the rights of this collector; may be repeated",
    )
    command.add_argument("--role", default=grants.ROLE, metavar="NAME", help=f"the role's name (default {grants.ROLE})")
    command.add_argument(
        "--database", default=grants.DATABASE, metavar="NAME", help=f"the database (default {grants.DATABASE})"
    )
    return command


def version_parser() -> argparse.ArgumentParser:
    """The one option that needs no collector."""
    command = CommandLine(prog=PROGRAM, add_help=False)
    command.add_argument("--version", action="version", version=version_line(PROGRAM))
    return command


def parser(specs: Sequence[CollectorSpec]) -> argparse.ArgumentParser:
    """The command line; every collector has its own switch."""
    command = CommandLine(
        prog=PROGRAM,
        usage="%(prog)s [OPTION ...]\n"
        "       %(prog)s doctor [--prometheus.url URL] [-o table|json|yaml] [OPTION ...]\n"
        "       %(prog)s grants [--role NAME] [--database NAME] [--collector NAME]\n"
        "       %(prog)s healthcheck [--config.file PATH] [--url URL] [--timeout SECONDS]",
        parents=[version_parser()],
        commands=(*COMMANDS, HEALTHCHECK),
        description="Publishes the state of a Control Core installation as Prometheus metrics. Reads, never writes. "
        "The command doctor checks an installation and says what to do; grants prints the SQL of the database role; "
        "healthcheck checks the health of the exporter on this machine.",
        epilog=EPILOG,
    )
    command.add_argument(
        "--config.check",
        dest="config_check",
        action="store_true",
        help="check the configuration: exit 0, or 2 with faults",
    )
    command.add_argument(
        "--print-metrics", dest="print_metrics", action="store_true", help="print the catalogue of metrics as Markdown"
    )
    command.add_argument(
        "--print-settings", dest="print_settings", action="store_true", help="print every setting as Markdown"
    )
    command.add_argument("--print-grants", dest="print_grants", action="store_true", help="the same as: grants")
    command.add_argument(
        "--print-completion",
        dest="print_completion",
        choices=("bash", "zsh", "fish"),
        metavar="SHELL",
        help="print the completion for bash, zsh or fish",
    )
    add_settings(command, specs)
    return command


def whole_parser(specs: Sequence[CollectorSpec]) -> argparse.ArgumentParser:
    """The command line with its commands, as the completion and the man page show it.

    The program itself handles a command first, so that `--help` of the exporter stays short.
    """
    from exporter.commands.doctor import command as doctor  # noqa: PLC0415 - nothing else needs it

    whole, grants = parser(specs), grants_parser(specs)
    commands = whole.add_subparsers(title="commands", prog=whole.prog, parser_class=argparse.ArgumentParser)
    own = doctor.add_options(argparse.ArgumentParser(add_help=False))
    commands.add_parser("doctor", parents=[own], add_help=False, help=DOCTOR)
    commands.add_parser("grants", parents=[grants], add_help=False, help=grants.description)
    health = healthcheck_parser()
    commands.add_parser(HEALTHCHECK, parents=[health], add_help=False, help=health.description)
    return whole


def doctor_parser(specs: Sequence[CollectorSpec]) -> argparse.ArgumentParser:
    """The command line of `doctor`: the settings that `serve` takes."""
    command = CommandLine(
        prog=f"{PROGRAM} doctor",
        usage="%(prog)s [--prometheus.url URL] [-o table|json|yaml] [OPTION ...]",
        description="Checks an installation from end to end, with the configuration of the running exporter, and says "
        "how to fix each fault. Changes nothing.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG,
    )
    add_settings(command, specs)
    return command


def add_settings(command: argparse.ArgumentParser, specs: Sequence[CollectorSpec]) -> None:
    """The options that are settings."""
    command.add_argument("--config.file", dest="config_file", type=Path, metavar="PATH", help="YAML configuration file")
    command.add_argument(
        "--web.listen-address", dest="listen", type=_address, metavar="HOST:PORT", help="where to serve (default :9877)"
    )
    command.add_argument(
        "--web.config.file", dest="web_config_file", metavar="PATH", help="TLS and authentication (exporter-toolkit)"
    )
    command.add_argument(
        "--scope", choices=("all", "pod", "deployment"), help="which collectors run (default deployment)"
    )
    command.add_argument("--log.file", dest="log_file", metavar="PATH", help="file that gets every log line too")
    command.add_argument(
        "--log.level",
        dest="log_level",
        type=_log_level,
        choices=("debug", "info", "warning", "error"),
        help="lowest level that is logged (default info)",
    )
    command.add_argument(
        "--log.format",
        dest="log_form",
        choices=("auto", "json", "console"),
        help="how a line is written (default auto: console on a terminal, otherwise json)",
    )
    switches = command.add_argument_group("collectors", "each is on unless the configuration turns it off")
    for spec in specs:
        summary = spec.doc.partition("\n")[0].replace("%", "%%")
        switches.add_argument(
            f"--collector.{spec.name}",
            dest=f"collector.{spec.name}",
            action=argparse.BooleanOptionalAction,
            help=summary,
        )


def printouts(specs: tuple[CollectorSpec, ...], options: argparse.Namespace) -> tuple[str, ...]:
    """The texts that an option prints instead of serving."""
    from exporter.commands import grants, metrics_reference  # noqa: PLC0415

    def completion(known: tuple[CollectorSpec, ...]) -> str:
        from chassis.process.completion import write_completion  # noqa: PLC0415 - nothing else needs it

        return write_completion(whole_parser(known), options.print_completion)

    writers = (
        (options.print_metrics, metrics_reference.write),
        (options.print_settings, settings_reference),
        (options.print_grants, grants.write),
        (options.print_completion, completion),
    )
    return tuple(write(specs) for is_wanted, write in writers if is_wanted)


def settings_reference(specs: tuple[CollectorSpec, ...]) -> str:
    """Every setting with form, default and meaning, as Markdown."""
    from chassis.output.settings_reference import write  # noqa: PLC0415 - nothing else needs these
    from exporter.collector import CollectorSettings  # noqa: PLC0415
    from exporter.commands.configuration import settings_type  # noqa: PLC0415

    return write(settings_type(specs), CollectorSettings)


def overrides(options: argparse.Namespace) -> dict[str, Any]:
    """The options of the command line, as settings."""
    values: dict[str, Any] = {}
    if options.listen is not None:
        host, port = options.listen
        values["server"] = {"port": port} | ({"host": host} if host else {})
    if options.web_config_file is not None:
        values.setdefault("server", {})["web_config_file"] = options.web_config_file
    if options.scope is not None:
        values["scope"] = options.scope
    named = {"level": options.log_level, "form": options.log_form, "file": options.log_file}
    chosen = {name: value for name, value in named.items() if value is not None}
    if chosen:
        values["log"] = chosen
    switches = {
        name.removeprefix("collector."): {"enabled": value}
        for name, value in vars(options).items()
        if name.startswith("collector.") and value is not None
    }
    if switches:
        values["collectors"] = switches
    return values


def _log_level(text: str) -> str:
    """The level; `warn` is what Prometheus calls it."""
    return "warning" if text == "warn" else text


def _address(text: str) -> tuple[str, int]:
    """`host:port`, `:port` or `[address]:port`; an empty host means the default."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the largest port
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


COMMANDS = {"doctor": run_doctor, "grants": print_grants}


if __name__ == "__main__":
    sys.exit(main())
