"""llama.cpp's protocol, for llama.vim, llama.vscode and others: docs/server-llama-cpp.md.

Source: llama.cpp's tools/server, its README and its answers.
"""
