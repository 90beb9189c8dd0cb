"""New images scored by a finished run."""
