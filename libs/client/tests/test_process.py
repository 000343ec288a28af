"""The command as a process: its start, its exit status, and Ctrl-C on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mistudio_client import Client
from mistudio_client.cli.app import _STACK, app
from mistudio_client.embedded.processes import wait_until
from mistudio_contracts.states import ExtractionStatus

from .conftest import Site

START = "import sys; sys.argv[0] = 'mistudio'; from mistudio_client.cli.app import main; main()"
MISTUDIO = [sys.executable, "-c", START]


def environment(data_dir: Path, **named: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MISTUDIO_")}
    return {**kept, "MISTUDIO_DATA_DIR": str(data_dir), "COLUMNS": "200", **named}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def go(*arguments: str, **named: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MISTUDIO, *arguments],
            env=environment(tmp_path, **named),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    return go


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_help_documents_every_exit_status(run: Run) -> None:
    shown = run("--help")

    assert shown.returncode == 0
    for status in ("0", "1", "2", "3", "4", "5", "130"):
        assert f"\n    {status} " in shown.stdout


def test_the_start_imports_nothing_that_a_command_does_not_need() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from mistudio_client.cli.app import app;"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    heavy = {"pydantic", "httpx", "websockets", "psutil", "numpy", "torch", "transformers"}
    assert heavy.isdisjoint(loaded)


def test_a_group_is_completed_without_asking_the_service(run: Run) -> None:
    found = run(_MISTUDIO_COMPLETE="complete_bash", COMP_WORDS="mistudio models l", COMP_CWORD="2")

    assert found.stdout.split() == ["list", "load"]


def test_the_summaries_shown_without_importing_are_of_commands_that_exist() -> None:
    import typer

    from mistudio_client.cli import stack

    real = typer.Typer()
    stack.register(real)
    names = [each.callback.__name__ for each in real.registered_commands if each.callback]
    assert names == list(_STACK)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["models", "list"], 0, ""),
        (["models", "show", "nobody"], 4, "There is no model 'nobody'."),
        (["models", "add", "./nothing"], 2, "There is no directory"),
        (["models", "sing"], 2, "No such command 'sing'"),
        (["datasets", "rm"], 2, "Missing argument"),
        (["extractions", "cancel", "not an id"], 1, "Error: "),
    ],
)
def test_exit_status_and_words(
    run: Run, site: Site, arguments: list[str], status: int, words: str
) -> None:
    done = run(*arguments, MISTUDIO_URL=site.url, MISTUDIO_TOKEN=site.token)

    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_conflict_has_its_own_status(run: Run, site: Site, client: Client) -> None:
    model = client.models.add("gpt2", auto_load=True)
    client.models.wait(model.id, timeout=30)

    done = run("models", "load", "gpt2", MISTUDIO_URL=site.url, MISTUDIO_TOKEN=site.token)

    assert done.returncode == 5
    assert done.stderr.splitlines() == [
        "Error: The model is ready already.",
        "Unload it first.",
    ]


def test_not_running_and_not_reachable_have_the_same_status(run: Run) -> None:
    nowhere = run("models", "list")
    nobody = run("--url", "http://127.0.0.1:9", "--token", "t", "events")

    assert (nowhere.returncode, nobody.returncode) == (3, 3)
    assert "mistudio up" in nowhere.stderr
    assert "http://127.0.0.1:9" in nobody.stderr


def test_the_local_stack_is_found_by_what_it_wrote_down(
    run: Run, site: Site, tmp_path: Path
) -> None:
    written = {
        "url": site.url,
        "token": site.token,
        "nats_url": "",
        "database_url": "",
        "data_dir": str(tmp_path),
        "pids": {},
        "ports": {},
    }
    (tmp_path / "connection.json").write_text(json.dumps(written))

    assert run("devices", "--json").returncode == 0


class Terminal:
    """A command on a terminal of its own, with somebody typing."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self._end, theirs = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            [*MISTUDIO, *arguments],
            env={**environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def wait_for(self, words: str, seconds: float = 60) -> None:
        assert self.shows(words, seconds), f"{words!r} did not come; there was: {self.text!r}"

    def shows(self, words: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while words not in self.text:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            readable, _, _ = select.select([self._end], [], [], left)
            if readable:
                try:
                    self.text += os.read(self._end, 65_536).decode(errors="replace")
                except OSError:
                    break
        return words in self.text

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def interrupt_until(self, words: str) -> None:
        """Press Ctrl-C, and again when nothing comes of it, as anybody does.

        Between a prompt's text and the wait for its answer, CPython's ``input`` is deaf to it.
        """
        for _ in range(6):
            self.interrupt()
            if self.shows(words, 10):
                return
        raise AssertionError(f"{words!r} did not come; there was: {self.text!r}")

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def status(self) -> int:
        return self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self._end)


@pytest.fixture
def extracting(site: Site, client: Client, tmp_path: Path) -> Iterator[Terminal]:
    """An extraction half-way, watched on a terminal."""
    client.models.add("gpt2")
    dataset = client.datasets.add("wikitext")
    client.datasets.wait(dataset.id, timeout=30)
    site.catalog.hold()
    terminal = Terminal(
        environment(tmp_path, MISTUDIO_URL=site.url, MISTUDIO_TOKEN=site.token),
        *("extract", "gpt2", "wikitext", "--layers", "0"),
    )
    try:
        terminal.wait_for("6 of 12 samples")
        yield terminal
    finally:
        terminal.close()


def only(site: Site) -> ExtractionStatus:
    (extraction,) = site.catalog.rows.extractions.values()
    return extraction.status


def test_ctrl_c_asks_and_cancels(site: Site, extracting: Terminal) -> None:
    extracting.interrupt()
    extracting.wait_for("Cancel extraction")
    extracting.type("y\n")
    extracting.wait_for("Cancelled.")

    assert extracting.status() == 130
    assert only(site) is ExtractionStatus.CANCELLED


def test_a_second_ctrl_c_leaves_it_running(site: Site, extracting: Terminal) -> None:
    extracting.interrupt()
    extracting.wait_for("Cancel extraction")
    extracting.interrupt_until("mistudio extractions cancel ext_")

    assert extracting.status() == 130
    assert only(site) is ExtractionStatus.EXTRACTING


def test_no_goes_on_watching(site: Site, extracting: Terminal) -> None:
    extracting.interrupt()
    extracting.wait_for("Cancel extraction")
    extracting.type("n\n")
    site.catalog.release()
    extracting.wait_for("40 × 8")

    assert extracting.status() == 0


def test_events_are_followed_across_a_pipe(site: Site, client: Client, tmp_path: Path) -> None:
    output = tmp_path / "events"
    with output.open("w") as stream:
        process = subprocess.Popen(
            [*MISTUDIO, "events", "--follow", "--after", "0", "--json"],
            env=environment(tmp_path, MISTUDIO_URL=site.url, MISTUDIO_TOKEN=site.token),
            stdout=stream,
        )
    try:
        model = client.models.add("gpt2", auto_load=True)
        assert wait_until(lambda: f'"{model.id}","status":"ready"' in output.read_text(), 30)
    finally:
        process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130
    assert all(json.loads(line) for line in output.read_text().splitlines())


def test_the_root_knows_all_commands() -> None:
    from typer.testing import CliRunner

    for name in ("models", "datasets", "extract", "extractions", "activations", "events", "up"):
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0, name
