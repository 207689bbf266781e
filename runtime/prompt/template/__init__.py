"""Chat templates: a model file's Jinja source, rendered with bounded work and memory."""

from halfbyte.prompt.template.chat_template import ChatTemplate

__all__ = ["ChatTemplate"]
