"""The Snowflake account as code: the SQL files beside this one, in the order of their names.

See ``__main__``.
"""
