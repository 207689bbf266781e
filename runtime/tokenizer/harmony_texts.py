"""The texts of Harmony, in which gpt-oss writes: an answer is messages, each with a channel.

    <|channel|>analysis<|message|>...<|end|>
    <|start|>assistant<|channel|>final<|message|>...<|return|>
    <|start|>assistant<|channel|>commentary to=functions.F <|constrain|>json<|message|>{...}<|call|>

A prompt ends with the first "<|start|>assistant". Thoughts go to `analysis`, the answer to `final`,
calls of functions and what is said before them to `commentary`.

Source: OpenAI's description of the format; the chat template of gpt-oss.
"""

from __future__ import annotations

START, CHANNEL, MESSAGE, END = "<|start|>", "<|channel|>", "<|message|>", "<|end|>"
CONSTRAIN, RETURN, CALL = "<|constrain|>", "<|return|>", "<|call|>"
TEXTS = (START, CHANNEL, MESSAGE, END, CONSTRAIN, RETURN, CALL)  # of its control tokens
THOUGHTS = (f"{CHANNEL}analysis{MESSAGE}", END)
ASSISTANT = f"{START}assistant"  # with which each message begins, and the prompt ends
FINAL = f"{CHANNEL}final{MESSAGE}"
