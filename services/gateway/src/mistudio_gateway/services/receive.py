"""Taking a dataset's form apart while it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mistudio_contracts.errors import InvalidInput, MiStudioError, PayloadTooLarge
from mistudio_contracts.rpc import Name
from mistudio_contracts.states import DatasetFormat, DatasetSource
from mistudio_gateway.domain.multipart import (
    Field,
    FileBegin,
    FileData,
    FormReader,
    Part,
    boundary_of,
    malformed,
)
from mistudio_gateway.domain.text import check_text, printable

from .uploads import Upload, Uploads

FORM_OVERHEAD_BYTES = 256 * 1024
FIELDS = ("name", "format", "text_column")
_NAME: TypeAdapter[str] = TypeAdapter(Name)


@dataclass
class Received:
    """A file in the object store, and what the form says about it."""

    object_name: str
    filename: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Return the fields of a registration."""
        name = self.texts.get("name") or self.filename or "upload"
        format_ = self.texts.get("format")
        return {
            "name": name,
            "source": DatasetSource.UPLOAD,
            "identifier": self.object_name,
            "format": DatasetFormat(format_) if format_ else None,
            "text_column": self.texts.get("text_column") or None,
        }


async def receive_upload(
    uploads: Uploads,
    content_type: str | None,
    content_length: str | None,
    body: AsyncIterator[bytes],
    *,
    limit: int,
    count: Callable[[float], None] = lambda size: None,
) -> Received:
    """Pass a form's file on to the object store, a chunk at a time.

    Parameters
    ----------
    uploads
        The bucket.
    content_type, content_length
        The request's headers.
    body
        Its bytes as they come.
    limit
        Most bytes of the file.
    count
        Told of the bytes of each piece.

    Returns
    -------
    Received
        The object is complete. Whoever registers it deletes it when that fails.

    Raises
    ------
    InvalidInput
        When the form or a field is not right.
    PayloadTooLarge
        As soon as the limit is passed; nothing is left in the bucket.
    MiStudioError
        When the bucket is full or the bus away.
    """
    reader = FormReader(boundary_of(content_type))
    if content_length and content_length.isdecimal():
        _check_size(int(content_length) - FORM_OVERHEAD_BYTES, limit)
    upload = uploads.begin()
    received = Received(upload.name)
    progress = _Progress(upload, received, limit)
    try:
        async for piece in body:
            count(len(piece))
            for part in reader.feed(piece):
                await progress.take(part)
        if not reader.complete:
            raise malformed("The form ends before its last boundary.", "incomplete_form")
        progress.check_complete()
        await upload.close()
    except BaseException:
        await upload.abort()
        raise
    return received


class _Progress:
    def __init__(self, upload: Upload, received: Received, limit: int) -> None:
        self._upload = upload
        self._received = received
        self._limit = limit
        self._seen: set[str] = set()

    async def take(self, part: Part) -> None:
        if isinstance(part, FileData):
            _check_size(self._upload.size + len(part.data), self._limit)
            await self._upload.write(part.data)
        elif isinstance(part, Field):
            self._once(part.name)
            self._received.texts[part.name] = _checked(part.name, part.value)
        elif isinstance(part, FileBegin):
            self._once(part.name)
            if part.name != "file":
                raise _unknown(part.name)
            self._received.filename = printable(part.filename.strip(), 200)
            self._upload.keep_ending(self._received.filename)
            self._received.object_name = self._upload.name

    def check_complete(self) -> None:
        if "file" not in self._seen:
            raise InvalidInput(
                "file: Field required",
                field="file",
                reason="missing",
                remedy="Send the dataset in a part named file.",
            )
        if self._upload.size == 0:
            raise InvalidInput(
                "The file is empty.",
                field="file",
                reason="empty",
                remedy="Send a file with at least one sample.",
            )

    def _once(self, name: str) -> None:
        if name in self._seen:
            raise InvalidInput(
                f"{printable(name)} is given more than once.",
                field=printable(name),
                reason="repeated",
                remedy="Give it once.",
            )
        self._seen.add(name)


def _checked(name: str, value: str) -> str:
    if name not in FIELDS:
        raise _unknown(name)
    check_text(value, name)
    try:
        if name == "name":
            return _NAME.validate_python(value)
        if name == "format":
            return str(DatasetFormat(value))
    except (ValidationError, ValueError) as error:
        allowed = ", ".join(str(f) for f in DatasetFormat) if name == "format" else "1–500 letters"
        raise InvalidInput(
            f"{name} is not usable.", field=name, reason="invalid", remedy=f"Give {allowed}."
        ) from error
    if not 0 < len(value) <= 200:
        raise InvalidInput(
            f"{name} is not usable.",
            field=name,
            reason="invalid",
            remedy="Give 1–200 letters, or leave it out.",
        )
    return value


def _unknown(name: str) -> MiStudioError:
    shown = printable(name)
    return InvalidInput(
        f"{shown}: the form does not take this field.",
        field=shown,
        reason="extra_forbidden",
        remedy=f"Send file and, if you like, {', '.join(FIELDS)}.",
    )


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise PayloadTooLarge(
            f"The file is larger than {limit} bytes.",
            field="file",
            limit_bytes=limit,
            reason="upload_too_large",
            remedy="Put it under an allowed root and register it as a local dataset.",
        )
