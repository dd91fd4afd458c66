"""Alembic's entry: runs the migrations on the connection that `migrate.upgrade` opened.

The transaction is the caller's: it holds the lock against a second process
that starts at the same time, and all steps happen or none.
"""

from __future__ import annotations

from alembic import context

from embedenv_jupyter.accounts.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
