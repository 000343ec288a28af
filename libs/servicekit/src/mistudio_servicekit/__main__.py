"""``python -m mistudio_servicekit``: prepare a NATS server for the services."""

import argparse
import asyncio
import os
import sys

from mistudio_contracts.errors import MiStudioError

from . import logs
from .permissions import render_accounts
from .provision import provision
from .render import render_topology


def main(argv: list[str] | None = None) -> int:
    """Run a command of the kit and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mistudio_servicekit")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("provision", help="create and update streams and consumers")
    make.add_argument(
        "--nats-url",
        default=os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
        help="default: NATS_URL, else nats://127.0.0.1:4222",
    )
    commands.add_parser("topology", help="print streams and consumers as YAML")
    accounts = commands.add_parser("accounts", help="print the NATS users and their permissions")
    for command in (make, accounts):
        command.add_argument(
            "--pools",
            default=os.environ.get("MISTUDIO_POOLS", "default"),
            help="comma-separated; default: MISTUDIO_POOLS, else 'default'",
        )
    chosen = parser.parse_args(argv)
    if chosen.command == "topology":
        sys.stdout.write(render_topology())
        return 0
    pools = [pool.strip() for pool in chosen.pools.split(",") if pool.strip()]
    if chosen.command == "accounts":
        sys.stdout.write(render_accounts(pools))
        return 0
    logs.configure("provision", os.environ.get("LOG_LEVEL", "INFO"))
    try:
        asyncio.run(provision(chosen.nats_url, pools))
    except MiStudioError as error:
        remedy = error.details.get("remedy", "")
        sys.stderr.write(f"{error.message} {remedy}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
