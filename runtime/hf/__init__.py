"""The names that users of Hugging Face's transformers know, on halfbyte's engine."""
