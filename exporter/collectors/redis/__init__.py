"""Asks Redis about itself."""
