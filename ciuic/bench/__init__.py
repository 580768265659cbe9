"""Benchmarks: each measures against stated bounds, prints a table and writes a measurement file."""
