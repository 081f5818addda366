"""Collectors of the cluster's objects."""
