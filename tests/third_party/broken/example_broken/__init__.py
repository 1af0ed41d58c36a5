"""Backends that are wrong, each in one way: what the kit must name, survive and not hang on.

With this folder and that of `example_loop` on the path, each is found by its entry point.
"""
