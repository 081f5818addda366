"""The faults of the stand-in, and the switches that tests and demo turn."""
