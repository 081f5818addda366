"""A stand-in Control Core: its endpoints, tables and failures, over a real PostgreSQL and a real Redis."""
