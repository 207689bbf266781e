"""One process that speaks several protocols over HTTP, for many users at once.

A request's way: `app` finds its route; `endpoint` reads its body within limits (`body`), checks it
against the protocol's schema (`fields`) and calls the protocol's handler, which maps it to an `Ask`
of a served model and the answer back to a `reply`. What an `Exchange` offers a handler is all that
a protocol knows; none knows the engine.
"""
