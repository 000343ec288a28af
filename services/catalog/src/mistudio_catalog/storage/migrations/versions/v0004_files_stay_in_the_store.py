"""Shards without their files: what was written lies beside it in the store."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE extraction_shards DROP COLUMN files")


def downgrade() -> None:
    op.execute("ALTER TABLE extraction_shards ADD COLUMN files json NOT NULL DEFAULT '[]'")
    op.execute("ALTER TABLE extraction_shards ALTER COLUMN files DROP DEFAULT")
