"""Pages that show a run: static HTML that opens from disk."""
