"""SQL: what the core keeps, in Postgres."""
