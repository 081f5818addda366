"""PostgreSQL: addresses, connections, and a session that renews them."""
