"""Keeps the results of collections, within limits."""
