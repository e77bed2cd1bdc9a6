"""The ledger: Postgres, the truth. The only package that imports asyncpg; its SQL is in `sql/` and `migrations/`."""
