"""S3, signed URLs, and the few calls of Lambda and EC2 that functions make."""
