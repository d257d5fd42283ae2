"""The local cloud: `python -m infra.local run | services | invoke | logs | psql | poll | build`."""

import argparse
import asyncio
import logging
import sys
import time
from pathlib import Path

import uvloop
from rich.console import Console

from infra import entry_point
from infra.local.cloud import Cloud
from infra.local.commands.invoke import invoke
from infra.local.commands.logs import show_logs
from infra.local.commands.poll import poll
from infra.local.commands.psql import psql
from infra.local.logs.archive import LogArchive
from infra.local.logs.stream import LogStream
from infra.local.settings import Settings, read_settings


def main() -> int:
    """The exit status: 0, or 1 with the reason on standard error."""
    arguments = _parser().parse_args()
    if arguments.verbose:
        logging.getLogger("infra").setLevel(logging.DEBUG)
    if arguments.command == "psql":
        return entry_point.run(lambda: psql(_settings(arguments), only_url=arguments.url))
    if arguments.command == "logs":
        return entry_point.run(
            lambda: show_logs(_settings(arguments), arguments.id, arguments.function)
        )
    entry_point.allow_many_connections()
    return entry_point.run(lambda: uvloop.run(_command(arguments)))


def _settings(arguments: argparse.Namespace) -> Settings:
    return read_settings(
        template=arguments.template,
        data_folder=arguments.data_folder,
        port=getattr(arguments, "port", None),
        is_private=arguments.private,
        as_json=getattr(arguments, "json", False),
        is_watching=not getattr(arguments, "no_watch", True),
        parameter_overrides=arguments.parameter_overrides,
        config_environment=arguments.config_env,
        debugged=(getattr(arguments, "debug", None) or "").replace(",", " ").split(),
    )


async def _command(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    match arguments.command:
        case "run":
            return await _run(settings, with_functions=True)
        case "services":
            return await _run(settings, with_functions=False)
        case "poll":
            return await poll(settings, arguments.lambda_url, arguments.function)
        case "build":
            return await _build(settings)
        case _:
            return await invoke(settings, arguments.function, arguments.event)


async def _run(settings: Settings, *, with_functions: bool) -> int:
    console = Console(stderr=settings.as_json)
    loop = asyncio.get_running_loop()
    archive = LogArchive(settings.log_folder)
    logs = LogStream(
        as_json=settings.as_json,
        call_soon=loop.call_soon,
        archive=archive,
        call_later=loop.call_later,
    )
    running = loop.create_task(_run_until_cancelled(settings, console, logs, with_functions))

    def stop() -> None:
        if not settings.as_json:
            logs.flush()
            console.print("\n[dim]stopping[/]")
        # A second Ctrl-C ends the wait for what the first one lets finish.
        running.cancel()

    entry_point.on_stop_signal(stop)
    try:
        await running
    except asyncio.CancelledError:
        return 0
    finally:
        logs.flush()
        logs.archive()
        archive.close()
    return 0


async def _run_until_cancelled(
    settings: Settings, console: Console, logs: LogStream, with_functions: bool
) -> None:
    started_at = time.monotonic()
    cloud = Cloud(settings, logs, console, with_functions=with_functions)
    async with cloud.run():
        seconds = time.monotonic() - started_at
        ready = f"API ready at {cloud.api_url}" if with_functions else "Services ready"
        if settings.as_json:
            logs.event("cloud", ready)
        else:
            print(ready, flush=True)
        if with_functions and not settings.as_json:
            documents = f"  documentation   {cloud.api_url}/docs\n" if cloud.serves("/docs") else ""
            others = "".join(
                f"  {name.ljust(15)} {url}\n" for name, url in list(cloud.api_urls.items())[1:]
            )
            console.print(
                f"{documents}{others}  Lambda API      {cloud.invoke_url}\n"
                "  database        make psql\n"
                f"  [dim]started in {seconds:.1f} s; Ctrl-C stops everything[/]",
                highlight=False,
            )
        await cloud.wait()


async def _build(settings: Settings) -> int:
    console = Console()
    await Cloud(settings, LogStream(), console).build()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.local",
        description="Runs template.yaml on this machine: API Gateway, Lambda, Postgres, RabbitMQ, "
        "S3, schedules.",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--template", type=Path, help="another template than ./template.yaml")
    shared.add_argument(
        "--parameter-overrides",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="values for the template's parameters, instead of samconfig.toml's",
    )
    shared.add_argument(
        "--config-env",
        default="default",
        help="whose deployment's parameters samconfig.toml is read for (%(default)s)",
    )
    shared.add_argument("--data-folder", type=Path, help="where all data is kept (.local)")
    shared.add_argument("--private", action="store_true", help="every port is a free one")
    shared.add_argument("--verbose", action="store_true", help="say also what is left out")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", parents=[shared], help="everything")
    run.add_argument("--port", type=int, help="the API's port ($API_PORT, or 8000)")
    run.add_argument("--json", action="store_true", help="log one JSON object a line")
    run.add_argument("--no-watch", action="store_true", help="do not reload changed code")
    run.add_argument(
        "--debug",
        metavar="FUNCTIONS",
        help="they wait for an editor to attach, the first at $DEBUG_PORT (5678), and have no "
        "time-out",
    )
    services = commands.add_parser(
        "services", parents=[shared], help="Postgres, RabbitMQ and S3 alone"
    )
    services.add_argument("--json", action="store_true", help="log one JSON object a line")
    poll = commands.add_parser(
        "poll",
        parents=[shared],
        help="the event source mapping alone, for functions that run elsewhere",
    )
    poll.add_argument(
        "--lambda-url",
        default="http://127.0.0.1:3001",
        help="a Lambda API, such as that of sam local start-lambda (%(default)s)",
    )
    poll.add_argument("--function", help="its name there, if it is not the template's logical id")
    poll.add_argument("--json", action="store_true", help="log one JSON object a line")
    database = commands.add_parser("psql", parents=[shared], help="the running cloud's database")
    database.add_argument("--url", action="store_true", help="only print its URL")
    logs = commands.add_parser("logs", parents=[shared], help="what the log has on a request")
    logs.add_argument("--id", help="its id, the beginning of it, or a correlation id")
    logs.add_argument("--function", help="only this one")
    commands.add_parser(
        "build", parents=[shared], help="install and compile all code, and start nothing"
    )
    invoke = commands.add_parser("invoke", parents=[shared], help="one function, one event")
    invoke.add_argument("function", help="folder name (upload) or logical id (UploadFunction)")
    invoke.add_argument("--event", type=Path, required=True, help="a JSON file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
