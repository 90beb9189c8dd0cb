"""What takes the space in a store, and what of it may go."""
