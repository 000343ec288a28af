"""The web UI's files beside the API, and the page there is without them."""

import gzip
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from mistudio_gateway import config
from mistudio_gateway.config import GatewaySettings, built_ui
from mistudio_gateway.factory import create_app

SCRIPT = b"let x = 1;" * 300
HERE = Path(__file__).parents[1]


@pytest.fixture
def build(tmp_path):
    """A build: a page, a script under a hashed name in three encodings, an icon."""
    place = tmp_path / "dist"
    (place / "assets").mkdir(parents=True)
    (place / "index.html").write_text("the application")
    (place / "icon.svg").write_text("<svg/>")
    (place / "assets" / "index-4f2a.js").write_bytes(SCRIPT)
    (place / "assets" / "index-4f2a.js.gz").write_bytes(gzip.compress(SCRIPT, mtime=0))
    (place / "assets" / "index-4f2a.js.br").write_bytes(b"smaller still")
    (tmp_path / "secret").write_text("outside")
    (place / "assets" / "link.js").symlink_to(tmp_path / "secret")
    return place


@pytest_asyncio.fixture
async def browser(build):
    app = create_app(GatewaySettings.ephemeral(web_dir=build))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/models", "/models/m_gpt2_1", "/activations/act_1", "/index.html"]
)
async def test_each_view_is_the_page_asked_for_anew(browser, path):
    answer = await browser.get(path)
    assert answer.text == "the application"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    again = await browser.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_page_may_run_its_own_scripts_and_no_others(browser):
    headers = (await browser.get("/models")).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws: wss:"
    assert policy["img-src"] == "'self' data: blob:"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


async def test_a_file_named_by_its_content_is_kept_for_good_and_others_are_asked_for(browser):
    script = await browser.get("/assets/index-4f2a.js")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"].startswith("text/javascript")
    icon = await browser.get("/icon.svg")
    assert icon.headers["cache-control"] == "no-cache"
    assert icon.headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    ("accepted", "encoding", "size"),
    [
        ("gzip, deflate, br, zstd", "br", len(b"smaller still")),
        ("gzip, br;q=0", "gzip", len(gzip.compress(SCRIPT, mtime=0))),
        ("identity", None, len(SCRIPT)),
    ],
)
async def test_what_the_build_compressed_is_sent_as_it_is(browser, accepted, encoding, size):
    path, headers = "/assets/index-4f2a.js", {"Accept-Encoding": accepted}
    answer = await browser.head(path, headers=headers)
    assert answer.headers.get("content-encoding") == encoding
    assert int(answer.headers["content-length"]) == size
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "Accept-Encoding" in answer.headers["vary"]


async def test_what_a_head_says_is_what_a_get_says(browser):
    for path in ("/", "/models", "/icon.svg", "/assets/index-4f2a.js"):
        head, get = await browser.head(path), await browser.get(path)
        assert head.status_code == 200
        assert head.content == b""
        for name in ("content-length", "etag", "content-type", "cache-control", "vary"):
            assert head.headers[name] == get.headers[name], (path, name)


@pytest.mark.parametrize(
    "path",
    [
        "/missing.js",
        "/assets/missing",
        "/assets/link.js",
        "/..%2fsecret",
        "/assets/..%2f..%2fsecret",
        "/models/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/..%5csecret",
        "/%2e%2e/secret",
        "/index%00",
        "//etc/passwd.txt",
        f"/{'x' * 300}.js",
        "/api/nothing",
        "/ws",
    ],
)
async def test_what_is_no_file_of_the_build_is_not_found(browser, path):
    answer = await browser.get(httpx.URL(f"http://x{path}"))
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"


async def test_the_api_is_what_it_is_without_files(browser):
    refused = await browser.get("/api/models/m_1/load")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert (await browser.post("/models")).status_code == 405
    assert (await browser.get("/api/models")).status_code == 401


async def test_without_a_build_a_page_says_how_to_make_one(tmp_path):
    app = create_app(GatewaySettings.ephemeral(web_dir=tmp_path))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/")
        assert (await client.head("/")).status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "make web" in answer.text
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_checkout_serves_its_own_build_unless_told_otherwise(monkeypatch, build, tmp_path):
    monkeypatch.delenv("WEB_DIR", raising=False)
    monkeypatch.setattr(config, "BUILDS", (tmp_path / "no wheel", build))
    assert GatewaySettings.ephemeral().web_dir == build
    monkeypatch.setenv("WEB_DIR", "")
    assert GatewaySettings.ephemeral().web_dir is None
    monkeypatch.delenv("WEB_DIR")
    (build / "index.html").unlink()
    assert built_ui() is None


def test_a_wheel_carries_the_build(build, tmp_path):
    source = tmp_path / "services" / "gateway"
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    shutil.copytree(build, source.parent / "web" / "dist")
    subprocess.run(
        [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--no-sources",
         "--out-dir", tmp_path, source],
        check=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "mistudio_gateway/web/index.html" in names
    assert "mistudio_gateway/web/assets/index-4f2a.js.br" in names
