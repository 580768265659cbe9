"""One TOML file per accessory: what is plugged into a board and brings a delegate with it."""
