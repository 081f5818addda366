"""Collectors of the product's tables."""
