"""Policies: what may be done, how they are read, and what is wrong with them."""
