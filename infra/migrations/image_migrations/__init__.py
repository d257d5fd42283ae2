"""The database schema, as Alembic revisions with plain SQL inside."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool


def upgrade(database_url: str, revision: str = "head") -> str:
    """Brings the schema up to a revision in one transaction; returns the revision reached.

    A lock in the database lets one of several deployments through at a time.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    url = make_url(database_url).set(drivername="postgresql+pg8000")
    sslmode = url.query.get("sslmode", "prefer")
    url = url.difference_update_query(["sslmode"])
    connect_args = {} if sslmode in ("disable", "allow", "prefer") else {"ssl_context": True}
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_args)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7314201986)")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        reached = MigrationContext.configure(connection).get_current_revision()
    return reached or "none"
