"""What a user sees: progress while a run works, and tables."""
