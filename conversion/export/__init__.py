"""From trained weights to files that a runtime runs."""
