"""From a checkpoint to a signed bundle; meets the device only in that file."""
