"""Reading GGUF files, checked."""
