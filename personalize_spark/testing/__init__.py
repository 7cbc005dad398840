"""For tests of your own: toy models, and what every store and every recipe keeps, as classes to subclass.

`stores` and `recipes` need pytest and hypothesis (`pip install 'personalize-spark[dev]'`); `toy` needs neither. For readable
failures, put `pytest.register_assert_rewrite("personalize_spark.testing")` into your conftest.py.
"""
