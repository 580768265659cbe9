"""Which model: a bundle is one signed file, hostile until its signature, sizes and hashes are checked."""
