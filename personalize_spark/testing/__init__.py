"""For tests of your own: toy models, and what every store and every recipe keeps, as classes to subclass.

`store_tests` and `recipe_tests` need pytest and hypothesis (`pip install 'personalize-spark[dev]'`); `toy` needs neither. For readable
failures, put `pytest.register_assert_rewrite("personalize_spark.testing")` into your conftest.py.
"""
