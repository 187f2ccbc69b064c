"""Handlers parse, call, answer."""
