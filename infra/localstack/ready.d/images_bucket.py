"""LocalStack runs this once it serves; only then does it report that it is ready."""

import os
import sys

sys.path.insert(0, "/etc/localstack/init")

import kept_objects

kept_objects.restore(os.environ["IMAGES_BUCKET"])
