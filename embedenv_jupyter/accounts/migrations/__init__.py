"""The history of the tables, for alembic; `migrate.py` runs it."""
