"""What is computed of images, found by content."""
