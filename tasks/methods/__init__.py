"""Methods by name, and their scores in the store."""
