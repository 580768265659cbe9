"""The networks, as trained."""
