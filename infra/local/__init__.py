"""The local cloud: runs template.yaml on this machine, out of the real parts, without Docker."""
