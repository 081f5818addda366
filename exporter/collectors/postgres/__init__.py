"""Collectors of PostgreSQL itself."""
