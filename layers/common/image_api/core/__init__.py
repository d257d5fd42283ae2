"""Use cases and rules; knows no driver."""
