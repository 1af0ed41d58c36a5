"""A plugin that cannot be imported."""

raise ZeroDivisionError("a plugin of tests/stranger/broken that fails when it is imported")
