"""Networks, and what an image goes through before them."""
