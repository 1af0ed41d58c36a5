"""The example's own tests are run where it is installed: see `test_example`."""

collect_ignore = ["tests"]
