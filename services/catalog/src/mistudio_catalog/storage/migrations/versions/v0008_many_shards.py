"""Work per report that does not grow with the shards of a plan, and bytes set aside for a quota.

Outstanding shards are few and waiting ones are taken in order: an index holds each of them alone.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for status in ("ordered", "planned"):
        op.execute(
            f"CREATE INDEX extraction_shards_{status} "
            f"ON extraction_shards (extraction_id, index) WHERE status = '{status}'"
        )
    op.execute("ALTER TABLE extractions ADD COLUMN reserved_bytes bigint NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE store_evictions ADD COLUMN bytes bigint NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE store_evictions DROP COLUMN bytes")
    op.execute("ALTER TABLE extractions DROP COLUMN reserved_bytes")
    for status in ("planned", "ordered"):
        op.execute(f"DROP INDEX extraction_shards_{status}")
