"""The hook points that a model was proven to have; caches whose columns differ in width."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE models ADD COLUMN hook_points json")
    op.execute("ALTER TABLE activation_caches ALTER COLUMN width DROP NOT NULL")


def downgrade() -> None:
    # Before, a cache's columns were all as wide as the residual stream.
    op.execute("DELETE FROM activation_caches WHERE width IS NULL")
    op.execute("ALTER TABLE activation_caches ALTER COLUMN width SET NOT NULL")
    op.execute("ALTER TABLE models DROP COLUMN hook_points")
