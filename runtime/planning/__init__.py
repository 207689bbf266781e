"""From the arguments of a call to its requests: what the model is asked, not yet asked of it."""
