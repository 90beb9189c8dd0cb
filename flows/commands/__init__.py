"""The commands of `spade`, by what they are for."""
