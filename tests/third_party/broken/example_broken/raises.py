"""A plugin that cannot be imported."""

raise ZeroDivisionError("a plugin of tests/third_party/broken that fails when it is imported")
