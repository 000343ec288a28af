"""A backup's file is all there or not there, and what was changed in it is noticed."""

from __future__ import annotations

import errno
import json
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from mistudio_client.backups.archive import CONTENTS, Reader, reading, within_room, writing
from mistudio_client.errors import Corrupted, InvalidArgument
from mistudio_contracts.errors import InsufficientStorage


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "stack.backup"
    with writing(path) as target:
        target.add("catalog/models.copy", [b"one\n", b"two\n"])
        target.add("stores/a/00000.safetensors", [b"\0" * 1000], pack=False)
        target.add("stores/b/manifest.json", [b"{}"])
        target.leave_out("stores/b/")
        target.finish({"made_at": "now"})
    return path


WRITTEN = (["catalog/models.copy", "stores/a/00000.safetensors"], b"one\ntwo\n")


def opened(path: Path) -> tuple[list[str], bytes]:
    with reading(path) as source:
        return source.paths, source.read("catalog/models.copy")


def test_what_was_written_is_read_and_what_was_left_out_is_not(archive: Path) -> None:
    with reading(archive) as source:
        assert source.paths == ["catalog/models.copy", "stores/a/00000.safetensors"]
        assert source.read("catalog/models.copy") == b"one\ntwo\n"
        assert source.size("stores/a/00000.safetensors") == 1000
        assert source.contents["made_at"] == "now"
        with pytest.raises(KeyError):
            source.read("stores/b/manifest.json")
    assert archive.stat().st_mode & 0o777 == 0o600, "it is for its owner alone"


def interrupted(path: Path) -> None:
    with writing(path) as target:
        target.add("half", [b"of it"])
        raise RuntimeError


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        interrupted(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with (
        pytest.raises(InsufficientStorage) as told,
        within_room("it"),
        writing(tmp_path / "b") as b,
    ):
        b.finish({})
    assert told.value.details["remedy"]
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_written_over(archive: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(InvalidArgument) as refused, writing(archive):
        raise AssertionError("it begins all the same")
    assert refused.value.details["reason"] == "exists"
    assert refused.value.details["remedy"]
    assert archive.read_bytes() == before


def test_a_changed_byte_anywhere_is_noticed(archive: Path) -> None:
    content = archive.read_bytes()
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        archive.write_bytes(changed)
        with suppress(Corrupted):
            # ZIP says some things twice; what is read all the same is what was written.
            assert opened(archive) == WRITTEN, place


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_what_is_cut_short_is_no_backup(archive: Path, kept: int) -> None:
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(Corrupted):
        opened(archive)


def forged(path: Path, change: dict[str, object]) -> Path:
    """Write an archive whose table of contents says something else, and is summed rightly."""
    import hashlib

    contents = {"schema": 1, "made_at": "now", "entries": {}} | change
    text = json.dumps(contents).encode()
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(CONTENTS, text)
        target.comment = hashlib.sha256(text).hexdigest().encode()
    return path


def read_all(source: Reader) -> None:
    raise AssertionError(f"it is read: {source.paths}")


def test_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    path = forged(tmp_path / "b", {"schema": 2})
    with pytest.raises(InvalidArgument) as refused, reading(path) as source:
        read_all(source)
    assert refused.value.details["reason"] == "unknown_version"


@pytest.mark.parametrize("entry", ["../out", "/etc/passwd", "stores/../../out", "stores//x", "."])
def test_an_entry_that_leads_out_is_refused(tmp_path: Path, entry: str) -> None:
    path = forged(tmp_path / "b", {"entries": {entry: {"bytes": 0, "sha256": ""}}})
    with pytest.raises(Corrupted), reading(path) as source:
        read_all(source)
