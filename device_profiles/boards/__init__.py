"""One TOML file per board or accessory, read by `device_profiles.loader`."""
