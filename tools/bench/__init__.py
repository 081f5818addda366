"""Measurements of ours and the peers, side by side in one run: `make bench`."""
