"""What the web UI and its tests need is there on a machine without Node or Chromium too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mistudio_testkit.chromium import ChromiumMissing, find_chromium

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "generate": "echo generate >> ../../ran && mkdir -p src/api/generated"
    " && touch src/api/generated/openapi.ts",
    "build": "npm --version && mkdir -p dist && echo ui > dist/index.html"
    " && echo build >> ../../ran",
    "test": "echo test >> ../../ran && test ! -e src/broken || { echo it is broken; exit 1; }",
}


class Checkout:
    """A checkout with the scripts of ``deploy/dev`` and a web UI that notes what it runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ui = root / "services" / "web"
        self.env = dict(os.environ)
        (root / "deploy" / "dev").mkdir(parents=True)
        for name in ("node", "web"):
            shutil.copy2(ROOT / "deploy" / "dev" / name, root / "deploy" / "dev")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy2(ROOT / name, root)
        # The environment, and the members of the workspace, without which uv reads no pyproject.
        (root / ".venv").symlink_to(sys.prefix)
        (root / "libs").symlink_to(ROOT / "libs")
        (root / "services").mkdir()
        for service in ("catalog", "loader", "extractor", "gateway"):
            (root / "services" / service).symlink_to(ROOT / "services" / service)
        (root / "contracts").mkdir()
        for name in ("openapi", "frames"):
            (root / "contracts" / f"{name}.json").write_text("{}")
        (self.ui / "src").mkdir(parents=True)
        (self.ui / "src" / "main.ts").write_text("let x")
        about = {"name": "ui", "version": "0.0.0"}
        self.write_package(about | {"scripts": SCRIPTS})
        locked = {**about, "lockfileVersion": 3, "packages": {"": about}}
        (self.ui / "package-lock.json").write_text(json.dumps(locked))

    def write_package(self, package: dict[str, object]) -> None:
        (self.ui / "package.json").write_text(json.dumps(package))

    def call(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "deploy" / "dev" / script, *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )

    def web(self, *steps: str) -> list[str]:
        """Run steps that must succeed, and return the scripts that ran."""
        ran = self.root / "ran"
        ran.unlink(missing_ok=True)
        done = self.call("web", *steps)
        assert done.returncode == 0, done.stderr
        return ran.read_text().split() if ran.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.mark.nightly("two installations of packages")
def test_what_has_not_changed_is_not_done_again(checkout: Checkout) -> None:
    assert checkout.web("test", "build") == ["generate", "test", "build"]
    assert checkout.web("test", "build") == []

    (checkout.root / "contracts" / "frames.json").write_text('{"a": 1}')
    assert checkout.web("test") == ["generate", "test"]
    (checkout.ui / "src" / "main.ts").write_text("let y")
    assert checkout.web("build") == ["generate", "build"]
    shutil.rmtree(checkout.ui / "dist")
    assert checkout.web("build") == ["build"]

    lock = checkout.ui / "package-lock.json"
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"version": "0.0.1"}))
    assert "npm ci" in checkout.call("web").stderr
    assert checkout.call("web").stderr == ""


@pytest.mark.nightly("an installation of packages")
def test_what_failed_is_told_and_done_again(checkout: Checkout) -> None:
    broken = checkout.ui / "src" / "broken"
    broken.touch()
    for _ in range(2):
        done = checkout.call("web", "test", "build")
        assert done.returncode != 0
        assert "it is broken" in done.stderr
        assert not (checkout.ui / "dist").exists()


@pytest.mark.nightly("an installation of Node and packages")
def test_a_machine_without_node_takes_it_from_a_package(checkout: Checkout) -> None:
    tools = checkout.root / "tools"
    tools.mkdir()
    for directory in ("/usr/bin", "/bin"):
        for program in Path(directory).iterdir():
            link = tools / program.name
            if program.name not in {"node", "nodejs", "npm", "npx"} and not link.is_symlink():
                link.symlink_to(program)
    checkout.env["PATH"] = str(tools)
    assert shutil.which("node", path=checkout.env["PATH"]) is None
    major = checkout.call("node", "node", "--version").stdout.removeprefix("v").split(".")[0]
    assert int(major) >= 22
    assert checkout.web("build") == ["generate", "build"]


def test_a_chromium_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChromiumMissing, match="CHROME_PATH names what does not run: /bin/false"):
        find_chromium(environ={"CHROME_PATH": "/bin/false"}, cache=tmp_path)


def test_where_no_chromium_can_be_had_it_is_said_what_to_install(tmp_path: Path) -> None:
    stub = tmp_path / "chromium"
    stub.write_text("#!/bin/sh\necho this needs a snap; exit 1\n")
    stub.chmod(0o755)
    with pytest.raises(ChromiumMissing) as refused:
        find_chromium(("/bin/false",), environ={"PATH": str(tmp_path)}, cache=tmp_path)
    assert "install the package chromium of your distribution" in str(refused.value)
    assert "CHROME_PATH" in str(refused.value)
    assert "this needs a snap" in str(refused.value)
