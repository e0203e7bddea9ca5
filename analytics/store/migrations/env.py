"""Where Alembic runs our migrations: on the connection that ``analytics.store.migrate`` hands over."""

from alembic import context

from analytics.store.tables import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
