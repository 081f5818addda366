"""Reads the tables of the product."""
