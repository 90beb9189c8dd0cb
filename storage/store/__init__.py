"""Files of a store, in a folder or a bucket."""
