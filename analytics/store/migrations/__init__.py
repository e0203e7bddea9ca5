"""Alembic migrations: each changes the schema by one step and is never edited once released."""
