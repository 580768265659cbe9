"""Sentences: drawn from the Home Assistant templates, written by hand, read from public sets."""
