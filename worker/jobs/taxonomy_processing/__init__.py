"""Chunks in, a tree of categories out: what the texts speak of, in one self-contained file."""
