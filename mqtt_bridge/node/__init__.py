"""A node on the mesh: it serves requests, says what it is, and answers repeats once."""
