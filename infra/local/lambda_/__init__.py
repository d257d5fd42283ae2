"""Lambda, locally."""
