"""The policy side of the stand-in: bouncers, their engine and OPAL."""
