"""Redis: addresses and a session that renews its connection."""
