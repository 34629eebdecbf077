"""The production warehouse: Snowflake, through sessions as short as what they are for."""
