"""The stranger's own tests are run where it is installed: see `test_stranger`."""

collect_ignore = ["tests"]
