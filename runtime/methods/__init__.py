"""The methods of a model: a file a kind of question, which `halfbyte.model.Model` puts together."""
