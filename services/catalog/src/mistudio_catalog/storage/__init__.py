"""Postgres, through asyncpg and named SQL. Nothing outside this package speaks SQL."""
