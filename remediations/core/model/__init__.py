"""The values that decisions are made from."""
