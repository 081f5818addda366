"""Collectors of Redis itself."""
