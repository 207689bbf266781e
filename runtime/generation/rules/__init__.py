"""What has a say in an answer's next token besides the model and the sampler: a file a rule."""
