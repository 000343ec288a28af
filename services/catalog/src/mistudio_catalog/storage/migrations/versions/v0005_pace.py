"""The pace of an extraction, from which the time left is told."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE extractions "
        "ADD COLUMN paced_at timestamptz, "
        "ADD COLUMN paced_samples bigint NOT NULL DEFAULT 0"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE extractions DROP COLUMN paced_at, DROP COLUMN paced_samples")
