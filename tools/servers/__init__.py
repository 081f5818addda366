"""Real servers on loopback, one file each; everything started here ends with its context manager."""
