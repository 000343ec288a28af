"""Stores whose files have to be looked for: after a restore they may not have come along."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE stores ADD COLUMN checked boolean NOT NULL DEFAULT true")
    op.execute("CREATE INDEX idx_stores_unchecked ON stores (store_key) WHERE NOT checked")


def downgrade() -> None:
    op.execute("DROP INDEX idx_stores_unchecked")
    op.execute("ALTER TABLE stores DROP COLUMN checked")
