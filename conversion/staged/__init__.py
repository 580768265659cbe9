"""A pretrained encoder as a bundle of one stage a layer: too big for one board, so it is what splitting is measured on."""
