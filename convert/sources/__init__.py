"""What is converted: Hugging Face folders and GGUF files."""
