"""Trained runs behind an HTTP interface that clients of OpenAI's completions understand.

A thread for each run owns its model and draws all texts side by side (``engine``, ``rows``); an asyncio loop reads and
answers requests (``app``, ``planning``, ``completions``), also those of the server's own page (``play.html``). Numbers
pass from one to the other as values.
"""
