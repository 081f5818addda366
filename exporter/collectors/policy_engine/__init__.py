"""Collectors of the bouncers, OPA and OPAL."""
