"""What is asked: one file per task kind turns inputs into tokens and head outputs into a result."""
