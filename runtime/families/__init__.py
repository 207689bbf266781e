"""Model families: their hyperparameters, tensors and forward pass, as data."""
