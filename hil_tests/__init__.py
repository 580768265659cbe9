"""Drives a node from outside, as a user's device would: topics, wire forms and nothing else."""
