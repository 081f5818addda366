"""Addresses, sockets and TLS trust of every connection."""
