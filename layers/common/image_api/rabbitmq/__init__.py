"""The broker, and the event with which it triggers a function."""
