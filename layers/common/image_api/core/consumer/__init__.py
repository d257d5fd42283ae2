"""What the consumer does: each change takes effect once, whatever becomes of its message."""
