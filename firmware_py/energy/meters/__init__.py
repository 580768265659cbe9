"""One file per power sensor, each a `base.Meter` that passes `testing.meter_contract`."""
