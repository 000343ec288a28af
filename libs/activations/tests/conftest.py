"""Every manifest that these tests write is compared with its schema."""

from mistudio_testkit.fixtures import manifests_follow_their_schema

__all__ = ["manifests_follow_their_schema"]
