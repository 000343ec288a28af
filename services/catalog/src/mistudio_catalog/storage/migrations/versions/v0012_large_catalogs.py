"""Lists that stay fast over a hundred thousand rows: by status, by type, and by words.

A search for what few models hold is answered by trigrams; what many hold is counted from an index
that has the words in it, which a b-tree can have up to a third of a page. Longer ones are few.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_LISTED = (("models", "status"), ("models", "model_type"), ("extractions", "status"))
_SHORT = "octet_length(name) + octet_length(model_identifier) < 2000"
_LONG = "octet_length(name) + octet_length(model_identifier) >= 2000"

_WHERE = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_trgm'"


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    # A restore migrates in a schema of its own, where the extension's is out of sight.
    words = f"{op.get_bind().scalar(text(_WHERE))}.gin_trgm_ops"
    op.execute(
        "CREATE INDEX idx_models_trigrams ON models "
        f"USING gin (name {words}, model_identifier {words})"
    )
    op.execute(
        "CREATE INDEX idx_models_words ON models (created_at DESC, id) "
        f"INCLUDE (status, model_type, name, model_identifier) WHERE {_SHORT}"
    )
    op.execute(f"CREATE INDEX idx_models_long_words ON models (created_at DESC, id) WHERE {_LONG}")
    for table, column in _LISTED:
        op.execute(f"DROP INDEX IF EXISTS idx_{table}_{column}")
        op.execute(f"CREATE INDEX idx_{table}_{column} ON {table} ({column}, created_at DESC, id)")


def downgrade() -> None:
    for table, column in _LISTED:
        op.execute(f"DROP INDEX idx_{table}_{column}")
    for column in ("status", "model_type"):
        op.execute(f"CREATE INDEX idx_models_{column} ON models ({column})")
    for name in ("long_words", "words", "trigrams"):
        op.execute(f"DROP INDEX idx_models_{name}")
    # The extension stays: others of the database may use it by now.
