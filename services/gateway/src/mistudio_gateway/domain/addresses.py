"""Addresses that somebody between here and there cannot answer for."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_guarded(url: str) -> bool:
    """Whether what an address answers is its owner's word: by TLS, or on this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
