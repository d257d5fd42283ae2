"""Measures the local cloud: `make bench` prints the table."""
