"""Training data made of chunks and of what was found in them."""
