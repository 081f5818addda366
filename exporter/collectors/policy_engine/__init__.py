"""Asks OPA, OPAL and the bouncers' caches."""
