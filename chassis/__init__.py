"""Holds what both programs stand on; imports nothing from either of them."""
