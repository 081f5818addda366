"""Builds and runs the real programs that tests, demo and benchmarks use."""
