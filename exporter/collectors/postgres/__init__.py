"""Asks PostgreSQL about itself."""
