"""The commands of the embedded stack: up, status, logs, down, token, doctor."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mistudio_client.embedded import (
    AtTheEdge,
    EmbeddedStack,
    ForAnEdge,
    Layout,
    NotRunning,
    StartFailed,
    control,
    default_data_dir,
    read_connection,
)
from mistudio_client.embedded.links import LEAF_PORT, Link
from mistudio_client.embedded.logs import LogFollower, tail
from mistudio_client.embedded.tokens import (
    ALL_SCOPES,
    mint,
    parse_duration,
    require_scopes,
    signing_secret,
)
from mistudio_contracts.errors import InvalidInput, MiStudioError

from . import stack_view as view
from .interrupts import Interrupts

DEFAULT_PORT = 8420

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Directory that keeps everything [default: MISTUDIO_DATA_DIR, else the user's own].",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the stack's commands to ``app``."""
    for command in (up, status, logs, down, token, doctor):
        app.command()(command)


def up(
    data_dir: DataDir = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the gateway; 0 for any free one.")
    ] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Address the gateway listens on.")] = "127.0.0.1",
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once ready.")] = False,
    allow: Annotated[
        list[Path] | None,
        typer.Option(help="Directory that local models and datasets may be read from; repeatable."),
    ] = None,
    extractors: Annotated[
        int,
        typer.Option(min=1, help="Extractors; they take a GPU each, or share this machine."),
    ] = 1,
    bus_host: Annotated[
        str, typer.Option(help="Address NATS listens on, for extractors of other machines.")
    ] = "127.0.0.1",
    edge: Annotated[
        str | None,
        typer.Option(help="Let models run at the edge of this name, which joins with --centre."),
    ] = None,
    edge_host: Annotated[str, typer.Option(help="Address the edge joins at.")] = "127.0.0.1",
    edge_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port the edge joins at.")
    ] = LEAF_PORT,
    centre: Annotated[
        str | None,
        typer.Option(
            envvar="MISTUDIO_CENTRE_URL",
            help="Be the edge of the site at this address, as its `up --edge` prints it.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until ready.")] = 180.0,
    as_json: AsJson = False,
) -> None:
    """Start miStudio on this machine: NATS, Postgres and the services."""
    layout = _layout(data_dir)
    with (
        reporting(),
        Interrupts(lambda: control.kill(layout)) as interrupts,
        view.Waiting(quiet=as_json) as waiting,
    ):
        stack = EmbeddedStack(
            layout.root,
            port=port,
            host=host,
            allow=allow or (),
            extractors=extractors,
            bus_host=bus_host,
            link=_link(edge, edge_host, edge_port, centre),
            detach=detach,
            on_progress=waiting.show,
        )
        started = False
        try:
            stack.start(timeout)
            started = True
            waiting.done()
            _announce(stack, as_json=as_json)
            if detach:
                return
            _follow(stack, quiet=as_json)
        except KeyboardInterrupt:
            waiting.done()
            view.note("Stopping; press Ctrl-C again to kill.")
        _shut_down(stack, interrupts)
        if not started:
            raise typer.Exit(130)


def _link(edge: str | None, host: str, port: int, centre: str | None) -> Link | None:
    if edge and centre:
        raise typer.BadParameter("an edge has no edge of its own: choose --edge or --centre")
    if centre:
        return AtTheEdge(centre)
    return ForAnEdge(edge, host, port) if edge else None


def _announce(stack: EmbeddedStack, *, as_json: bool) -> None:
    connection = read_connection(stack.layout.root)
    if connection is None:
        raise NotRunning("The stack was stopped while it started.")
    if as_json:
        view.print_json(connection.as_dict())
    else:
        view.welcome(connection)


def _follow(stack: EmbeddedStack, *, quiet: bool) -> None:
    names = [path.stem for path in sorted(stack.layout.logs.glob("*.log"))]
    follower = LogFollower({name: stack.layout.log(name) for name in names})
    pause = threading.Event()
    try:
        while stack.is_alive():
            if not quiet:
                for name, line in follower.read():
                    view.log_line(name, line)
            pause.wait(0.2)
    finally:
        follower.close()


def _shut_down(stack: EmbeddedStack, interrupts: Interrupts) -> None:
    # Nobody interrupted us: the supervisor ended by `mistudio down`, or it was killed.
    code = None if interrupts.count else stack.exit_code
    try:
        stack.stop()
    except KeyboardInterrupt:
        # The first to come, when the supervisor had ended by itself.
        stack.stop()
    if code:
        raise StartFailed(
            f"The supervisor ended unexpectedly (exit status {code}); the stack has been stopped.",
            log=tail(stack.layout.log("supervisord"), 10),
            remedy="Start again with: mistudio up",
        )
    view.note("Stopped.")


def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the services: exit status 0 when all are ready, 3 not running, 4 partly ready."""
    with reporting():
        layout = _layout(data_dir)
        found = control.status(layout)
        if as_json:
            view.print_json({**asdict(found), "running": found.running, "ready": found.ready})
        else:
            view.status_table(found)
    raise typer.Exit(3 if not found.running else 0 if found.ready else 4)


def logs(
    service: Annotated[str | None, typer.Argument(help="One program; all by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines of each log.")] = 50,
    data_dir: DataDir = None,
) -> None:
    """Show the services' logs."""
    with reporting():
        layout = _layout(data_dir)
        known = sorted(path.stem for path in layout.logs.glob("*.log"))
        if not known:
            raise NotRunning(
                f"There are no logs in {layout.logs}.", remedy="Start with: mistudio up"
            )
        if service is not None and service not in known:
            raise typer.BadParameter(f"there is no {service}; choose one of {', '.join(known)}")
        names = known if service is None else [service]
        follower = LogFollower({name: layout.log(name) for name in names})
        for name in names:
            for line in tail(layout.log(name), lines).splitlines():
                view.log_line(name if service is None else None, line)
        if follow:
            _print_added(follower, service)


def _print_added(follower: LogFollower, service: str | None) -> None:
    pause = threading.Event()
    try:
        while True:
            for name, line in follower.read():
                view.log_line(name if service is None else None, line)
            pause.wait(0.2)
    except KeyboardInterrupt:
        follower.close()


def down(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop the stack and make sure that nothing of it is left."""
    with reporting():
        layout = _layout(data_dir)
        was_running = control.stop(layout)
        if as_json:
            view.print_json({"stopped": was_running, "data_dir": str(layout.root)})
        else:
            view.note("Stopped." if was_running else f"Nothing was running in {layout.root}.")


def token(
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(ALL_SCOPES)}; repeatable; all by default."),
    ] = None,
    expires: Annotated[str, typer.Option(help="How long it is good for: 12h, 30d.")] = "30d",
    subject: Annotated[str, typer.Option(help="Whom it stands for.")] = "local",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print a new access token of the local stack."""
    with reporting():
        lifetime = parse_duration(expires)
        scopes = scope or list(ALL_SCOPES)
        require_scopes(scopes)
        secret = signing_secret(_layout(data_dir), os.environ)
        minted = mint(secret, subject=subject, scopes=scopes, expires=lifetime)
        if as_json:
            seconds = int(lifetime.total_seconds())
            view.print_json(
                {"token": minted, "subject": subject, "scopes": scopes, "expires_in": seconds}
            )
        else:
            typer.echo(minted)


def doctor(
    data_dir: DataDir = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to check.")] = DEFAULT_PORT,
    as_json: AsJson = False,
) -> None:
    """Check whether this machine can run miStudio, and say how to mend what cannot."""
    from mistudio_client.embedded.doctor import examine

    with reporting(), view.Waiting(quiet=as_json) as waiting:
        waiting.show("the checks")
        findings = examine(_layout(data_dir), port)
        waiting.done()
        if as_json:
            view.print_json([finding.as_dict() for finding in findings])
        else:
            view.findings(findings)
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(1)


def _layout(data_dir: Path | None) -> Layout:
    return Layout.at(data_dir or default_data_dir())


@contextmanager
def reporting() -> Iterator[None]:
    """Show what went wrong as a sentence and its remedy."""
    try:
        yield
    except InvalidInput as error:
        view.failure(error)
        raise typer.Exit(2) from error
    except MiStudioError as error:
        view.failure(error)
        raise typer.Exit(1) from error
