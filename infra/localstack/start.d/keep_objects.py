"""LocalStack runs this before it serves."""

import sys

sys.path.insert(0, "/etc/localstack/init")

import kept_objects

kept_objects.install()
