"""Activations as int8, and models whose activations leave the range of float16."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_CHECK = "extractions_dtype_check"


def upgrade() -> None:
    _allow("'float32', 'float16', 'bfloat16', 'int8'")
    op.execute("ALTER TABLE models ADD COLUMN overflows_float16 boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    op.execute("ALTER TABLE models DROP COLUMN overflows_float16")
    # What was captured as int8 is unknown to the older code; its files stay until they are deleted.
    op.execute("DELETE FROM activation_caches WHERE dtype = 'int8'")
    op.execute("DELETE FROM extractions WHERE dtype = 'int8'")
    _allow("'float32', 'float16', 'bfloat16'")


def _allow(dtypes: str) -> None:
    op.execute(f"ALTER TABLE extractions DROP CONSTRAINT {_CHECK}")
    op.execute(f"ALTER TABLE extractions ADD CONSTRAINT {_CHECK} CHECK (dtype IN ({dtypes}))")
