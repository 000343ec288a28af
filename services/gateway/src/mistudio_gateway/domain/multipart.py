"""Reading multipart/form-data as it arrives: fields in memory, bounded; files in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from mistudio_contracts.errors import InvalidInput

MOST_PARTS = 16
MOST_HEADER_BYTES = 8 * 1024
MOST_FIELD_BYTES = 8 * 1024


@dataclass(frozen=True)
class Field:
    """A complete text field."""

    name: str
    value: str


@dataclass(frozen=True)
class FileBegin:
    """A file part begins."""

    name: str
    filename: str


@dataclass(frozen=True)
class FileData:
    """The next bytes of the file part."""

    data: bytes


@dataclass(frozen=True)
class FileEnd:
    """The file part is complete."""


Part = Field | FileBegin | FileData | FileEnd


def malformed(message: str, reason: str, field: str = "body") -> InvalidInput:
    """Return the error for a body that is not the form it claims to be."""
    return InvalidInput(
        message,
        field=field,
        reason=reason,
        remedy="Send multipart/form-data with a part named file and the fields of the dataset.",
    )


def boundary_of(content_type: str | None) -> bytes:
    """Return the boundary named by a Content-Type header.

    Raises
    ------
    InvalidInput
        When it is not multipart/form-data with a boundary.
    """
    header = Message()
    header["content-type"] = content_type or ""
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise malformed(
            "Content-Type must be multipart/form-data with a boundary.",
            "unsupported_media_type",
            "Content-Type",
        )
    return boundary.encode("latin-1", "replace")


class FormReader:
    """Turns the bytes of a form into parts, in order.

    Parameters
    ----------
    boundary
        From the Content-Type header.
    """

    def __init__(self, boundary: bytes) -> None:
        self._parts: list[Part] = []
        self._count = 0
        self._headers: dict[str, str] = {}
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._header_bytes = 0
        self._name = ""
        self._is_file = False
        self._value = bytearray()
        self.complete = False
        """Whether the closing boundary was read."""
        callbacks: Any = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise malformed("The boundary is not usable.", "malformed_form") from error

    def feed(self, data: bytes) -> list[Part]:
        """Take bytes; return the parts they complete.

        Raises
        ------
        InvalidInput
            When the form is malformed or a field too long.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise malformed("The form is malformed.", "malformed_form") from error
        parts, self._parts = self._parts, []
        return parts

    def _on_part_begin(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise malformed(f"A form has at most {MOST_PARTS} parts.", "too_many_parts")
        self._headers = {}
        self._header_bytes = 0
        self._value.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._header_value += data[start:end]

    def _count_header(self, length: int) -> None:
        self._header_bytes += length
        if self._header_bytes > MOST_HEADER_BYTES:
            raise malformed("The headers of a part are too long.", "headers_too_long")

    def _on_header_end(self) -> None:
        name = self._header_name.decode("latin-1").lower()
        self._headers[name] = self._header_value.decode("utf-8", "replace")
        self._header_name.clear()
        self._header_value.clear()

    def _on_headers_finished(self) -> None:
        header = Message()
        header["content-disposition"] = self._headers.get("content-disposition", "")
        name = header.get_param("name", header="content-disposition")
        filename = header.get_filename()
        if not isinstance(name, str):
            raise malformed("A part of the form has no name.", "nameless_part")
        self._name = name
        self._is_file = filename is not None or name == "file"
        if self._is_file:
            self._parts.append(FileBegin(name, filename or ""))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._parts.append(FileData(data[start:end]))
            return
        self._value += data[start:end]
        if len(self._value) > MOST_FIELD_BYTES:
            raise InvalidInput(
                f"{self._name} is too long.",
                field=self._name,
                reason="too_long",
                remedy=f"Send at most {MOST_FIELD_BYTES} bytes.",
            )

    def _on_part_end(self) -> None:
        if self._is_file:
            self._parts.append(FileEnd())
            return
        try:
            value = self._value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise malformed(f"{self._name} is not UTF-8.", "not_utf8", self._name) from error
        self._parts.append(Field(self._name, value))

    def _on_end(self) -> None:
        self.complete = True
