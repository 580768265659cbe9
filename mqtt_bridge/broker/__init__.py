"""Brokers that this project starts for itself, one file per kind; never needed where one runs already."""
