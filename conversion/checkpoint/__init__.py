"""A teacher that somebody else trained: a Hugging Face checkpoint folder, read layer by layer."""
