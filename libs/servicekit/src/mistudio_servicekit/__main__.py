"""``python -m mistudio_servicekit``: prepare a NATS server, and look after its dead letters."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TypeVar

from nats.aio.client import Client

from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.sites import Site

from . import logs
from .letters import dead_letters, discard, replay, sweep
from .permissions import render_accounts
from .provision import connect, provision
from .render import render_topology

T = TypeVar("T")


def main(argv: list[str] | None = None) -> int:
    """Run a command of the kit and return the exit status."""
    chosen = _parser().parse_args(argv)
    pools = [pool.strip() for pool in getattr(chosen, "pools", "").split(",") if pool.strip()]
    site = Site(edge=getattr(chosen, "edge", ""), centre=getattr(chosen, "centre", ""))
    if chosen.command == "topology":
        sys.stdout.write(render_topology())
        return 0
    if chosen.command == "accounts":
        sys.stdout.write(render_accounts(pools))
        return 0
    logs.configure("provision", os.environ.get("LOG_LEVEL", "INFO"))
    try:
        if chosen.command == "provision":
            asyncio.run(provision(chosen.nats_url, pools, site, chosen.replicas))
        elif chosen.command == "sweep":
            queues = site.queues(pools)
            moved = asyncio.run(_with(chosen.nats_url, lambda bus: sweep(bus, queues)))
            sys.stdout.write(f"{moved}\n")
        elif chosen.command == "replay":
            sequence = asyncio.run(_with(chosen.nats_url, lambda bus: replay(bus, chosen.sequence)))
            sys.stdout.write(f"{sequence}\n")
        elif chosen.command == "discard":
            asyncio.run(_with(chosen.nats_url, lambda bus: discard(bus, chosen.sequence)))
        else:
            for letter in asyncio.run(_with(chosen.nats_url, dead_letters)):
                sys.stdout.write(json.dumps(asdict(letter)) + "\n")
    except MiStudioError as error:
        sys.stderr.write(f"{error.message} {error.details.get('remedy', '')}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mistudio_servicekit")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("provision", help="create and update streams and consumers")
    commands.add_parser("topology", help="print streams and consumers as YAML")
    accounts = commands.add_parser("accounts", help="print the NATS users and their permissions")
    dead = commands.add_parser("dead", help="list messages that could not be handled, as JSON")
    again = commands.add_parser("replay", help="put a dead letter back where it came from")
    gone = commands.add_parser("discard", help="delete a dead letter")
    for command in (again, gone):
        command.add_argument("sequence", type=int, help="its place, as `dead` shows it")
    clean = commands.add_parser("sweep", help="bury what no consumer will be given again")
    for command in (make, accounts, clean):
        command.add_argument(
            "--pools",
            default=os.environ.get("MISTUDIO_POOLS", "default"),
            help="comma-separated; default: MISTUDIO_POOLS, else 'default'",
        )
    make.add_argument(
        "--replicas",
        type=int,
        choices=(1, 3, 5),
        default=os.environ.get("MISTUDIO_STREAM_REPLICAS") or None,
        help="servers of a cluster that keep each message; default: MISTUDIO_STREAM_REPLICAS, "
        "else as it is, at first 1",
    )
    for command in (make, clean):
        command.add_argument(
            "--edge",
            default=os.environ.get("MISTUDIO_EDGE", ""),
            help="JetStream domain in which the pools' work is done; default: MISTUDIO_EDGE",
        )
        command.add_argument(
            "--centre",
            default=os.environ.get("MISTUDIO_CENTRE", ""),
            help="JetStream domain of the site whose edge this is; default: MISTUDIO_CENTRE",
        )
    for command in (make, dead, again, gone, clean):
        command.add_argument(
            "--nats-url",
            default=os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
            help="default: NATS_URL, else nats://127.0.0.1:4222",
        )
    return parser


async def _with(url: str, work: Callable[[Client], Awaitable[T]]) -> T:
    client = await connect(url)
    try:
        return await work(client)
    finally:
        await client.close()


if __name__ == "__main__":
    sys.exit(main())
