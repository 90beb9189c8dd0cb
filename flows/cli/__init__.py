"""The command `spade`."""
