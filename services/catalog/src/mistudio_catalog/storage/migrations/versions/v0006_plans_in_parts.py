"""Plans in parts, and the work of shards, by which the time left is told."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE extractions "
        "ADD COLUMN plan_from json, "
        "ADD COLUMN plan_ordered boolean NOT NULL DEFAULT false, "
        "ADD COLUMN work_total bigint NOT NULL DEFAULT 0, "
        "ADD COLUMN work_captured bigint NOT NULL DEFAULT 0, "
        "ADD COLUMN work_processed bigint NOT NULL DEFAULT 0, "
        "ADD COLUMN paced_work bigint NOT NULL DEFAULT 0, "
        "DROP COLUMN paced_samples"
    )
    op.execute("ALTER TABLE extraction_shards ADD COLUMN work bigint NOT NULL DEFAULT 0")
    # The plans that are being made now are ordered whole.
    op.execute("UPDATE extractions SET plan_ordered = true WHERE phase = 'planning'")
    # Those under way have work from their tokens on.
    op.execute("UPDATE extraction_shards SET work = tokens WHERE cardinality(hook_points) > 0")
    op.execute(
        "UPDATE extractions SET "
        "work_total = shards.total, work_captured = shards.captured, "
        "work_processed = shards.captured, paced_work = shards.captured, paced_at = NULL "
        "FROM ("
        "SELECT extraction_id, sum(work) AS total, "
        "coalesce(sum(work) FILTER (WHERE status = 'captured'), 0) AS captured "
        "FROM extraction_shards GROUP BY extraction_id"
        ") AS shards WHERE shards.extraction_id = extractions.id AND phase = 'capturing'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE extraction_shards DROP COLUMN work")
    op.execute(
        "ALTER TABLE extractions "
        "DROP COLUMN plan_from, DROP COLUMN plan_ordered, DROP COLUMN work_total, "
        "DROP COLUMN work_captured, DROP COLUMN work_processed, DROP COLUMN paced_work, "
        "ADD COLUMN paced_samples bigint NOT NULL DEFAULT 0"
    )
