"""One file an operation: its request with limits and plan, and its result.

How to add an operation `Name`:

1. `protos/textvae/v1/textvae.proto`: the method and its two messages, then `make protos`.
2. `engine/operations/name.py`: `NameRequest`, which fulfils the Protocol `engine.engine.Request`,
   and `NameResult`. The engine itself does not change.
3. `serve/requests.py` and `serve/responses.py`: one function each, message to request and result to
   message; `serve/service.py`: the method that names both.
4. `client/results.py` and `client/calls.py`: the result and the call; `client/clients.py`: one line
   in each client; `client/recording.py`: its two messages in KINDS, so that it can be replayed.
5. `cli/flags.py` and `cli/commands.py`: the flags and the command.
"""
