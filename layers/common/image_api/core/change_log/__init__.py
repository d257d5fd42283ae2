"""Accepted changes: what is said of them, in which messages, until they are settled."""
