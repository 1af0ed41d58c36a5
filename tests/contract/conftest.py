"""Assertions of the suite are explained as those of any test module."""

import pytest

pytest.register_assert_rewrite("halfclose.testing")
