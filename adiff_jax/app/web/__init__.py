"""The web page of `adiff serve`.

    browser ──► guard (size, room) ──► upload folder ──► page ──► rehearsal (limited process: can it be read?)
       ▲                                                  │
       └── status, preview, result ◄── session folder ◄── worker (process with the models; cancelling ends it)

The server's process reads no picture and no video of a user and has no model; only `page` and `server` import Gradio.
"""
