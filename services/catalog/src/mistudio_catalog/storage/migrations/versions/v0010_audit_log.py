"""Who did what, to what, when, by which door, and what became of it."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE audit_log (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            at timestamptz NOT NULL,
            actor text NOT NULL,
            action text NOT NULL,
            object_id text,
            door text NOT NULL,
            outcome text NOT NULL,
            trace_id text
        )
        """
    )
    op.execute("CREATE INDEX audit_log_at ON audit_log (at DESC, id DESC)")
    for column in ("actor", "object_id"):
        op.execute(f"CREATE INDEX audit_log_{column} ON audit_log ({column}, at DESC)")


def downgrade() -> None:
    op.execute("DROP TABLE audit_log")
