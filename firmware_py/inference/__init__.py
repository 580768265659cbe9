"""The cheapest way within the limits: graphs, heads and exits of one bundle."""
