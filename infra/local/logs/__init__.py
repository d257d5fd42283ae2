"""What is said while the local cloud runs: `stream` has all of it, `formatting` as a person reads
it in a terminal, `archive` as JSON lines for later.
"""
