"""The only writer to what is repaired."""
