"""PostgreSQL: engine, sessions, tables, migrations and queries."""
