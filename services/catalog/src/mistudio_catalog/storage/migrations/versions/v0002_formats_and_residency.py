"""How a model's weights are quantised and kept, when its load last moved, whose turn it is.

Rows of before mean what they meant: nothing pinned, kept until somebody else needs the room.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DEFAULT_OPTIONS = '{"int4_type": "nf4", "double_quant": true}'

_MODELS = (
    f"ADD COLUMN quantization_options json NOT NULL DEFAULT '{_DEFAULT_OPTIONS}'",
    "ADD COLUMN artifact_options json",
    "ADD COLUMN pinned boolean NOT NULL DEFAULT false",
    "ADD COLUMN keep_alive_seconds double precision CHECK (keep_alive_seconds >= 0)",
    "ADD COLUMN offload boolean NOT NULL DEFAULT false",
    "ADD COLUMN fidelity json",
    "ADD COLUMN force boolean NOT NULL DEFAULT false",
    "ADD COLUMN figures json",
    "ADD COLUMN measured_bytes bigint",
    "ADD COLUMN progressed_at timestamptz",
)

_DEVICES = (
    "ADD COLUMN memory_free_bytes bigint",
    "ADD COLUMN unavailable_formats json NOT NULL DEFAULT '{}'",
)

_TURNS = """
CREATE TABLE model_turns (
    model_id varchar(128) PRIMARY KEY REFERENCES models ON DELETE CASCADE,
    pool varchar(32) NOT NULL,
    holds boolean NOT NULL,
    since timestamptz NOT NULL
)
"""


def _name(addition: str) -> str:
    return addition.split()[2]


def upgrade() -> None:
    op.execute(f"ALTER TABLE models {', '.join(_MODELS)}")
    op.execute(f"ALTER TABLE devices {', '.join(_DEVICES)}")
    # An artifact of before was made without options that could differ.
    op.execute(
        "UPDATE models SET artifact_options = quantization_options "
        "WHERE artifact_quantization IS NOT NULL"
    )
    op.execute("UPDATE models SET measured_bytes = memory_usage_bytes")
    # A load under way is judged from now on.
    op.execute("UPDATE models SET progressed_at = heard_at WHERE phase IN ('preparing', 'placing')")
    op.execute(_TURNS)
    op.execute("CREATE INDEX idx_models_pinned ON models (pool) WHERE pinned")


def downgrade() -> None:
    op.execute("DROP INDEX idx_models_pinned")
    op.execute("DROP TABLE model_turns")
    for table, additions in (("devices", _DEVICES), ("models", _MODELS)):
        drops = ", ".join(f"DROP COLUMN {_name(each)}" for each in additions)
        op.execute(f"ALTER TABLE {table} {drops}")
