"""One process that speaks several protocols over HTTP, for many users at once.

The way of a request:

1. `serving` runs uvicorn on the sockets of `listening`; `connection` bounds what a client may send
   before it is a request.
2. `watch` gives it a `record`, for the log and for `metrics`; `security` looks at host, origin and
   key (`api_keys`); `app` finds the route, which a `protocol` has.
3. `endpoint` reads the body within limits (`body`), checks it against the route's schema (`fields`)
   and calls the protocol's handler.
4. The handler maps fields to an `ask`, a call of a method of `Model`. All that it knows of the
   server is its `exchange`: that gives it a `served_model` from the `shelf`, waits for a place at
   the `gate`, drops what settings say (`dropped`), and answers, whole or as a stream.
5. The handler maps the answer to a `reply`. What goes wrong is a `fault`, in the protocol's shape.

A folder a protocol: `openai/` (with `/v1/edit`), `llama_cpp/`, `ollama/`, `anthropic/`. Each has
its routes in `*_protocol`, bodies in `*_fields` or `*_schema`, what they mean to the library in
`*_asking` or `*_options`, answers in `*_shapes` or `*_answers`. `page_protocol` serves the files of
`page/`; `operations` and `description` are for those who run a server.

What several protocols share: `sampling_fields` (llama.cpp's names of sampler settings), `prompts`
(what a chat's prompt is), `call_ids`, `timings`, `text_units`, and `model_facts` (what a file says
of a model that need not be loaded). What all requests share is the `server_state`.
"""
