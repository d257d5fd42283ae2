"""S3 and signed URLs."""
