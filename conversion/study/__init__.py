"""What several builds say together."""
