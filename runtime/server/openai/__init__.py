"""OpenAI's API: https://platform.openai.com/docs/api-reference. A file a resource."""
