"""Pictures made of an image: what the renderer is asked for, and who may fetch the result."""
