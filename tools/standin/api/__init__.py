"""The control-plane API of the stand-in."""
