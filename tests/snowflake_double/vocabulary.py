"""Words of Snowflake: functions, reserved words, and what else may stand before a parenthesis.

Functions are those that the pipeline may call, each from the reference:
https://docs.snowflake.com/en/sql-reference/functions/<name>. Whoever needs another adds it here
after reading its page.
"""

from __future__ import annotations

AGGREGATES = """
    any_value approx_count_distinct array_agg avg booland_agg boolor_agg count count_if
    hash_agg listagg max max_by median min min_by mode stddev sum variance
"""
WINDOWS = """
    dense_rank first_value lag last_value lead ntile percent_rank rank ratio_to_report row_number
"""
CONDITIONS = """
    coalesce decode equal_null greatest greatest_ignore_nulls iff ifnull least least_ignore_nulls
    nullif nvl nvl2 zeroifnull
"""
TEXTS = """
    charindex chr concat concat_ws contains endswith initcap left length lower lpad ltrim position
    regexp_count regexp_instr regexp_like regexp_replace regexp_substr repeat replace right rpad
    rtrim split split_part startswith strtok substr substring translate trim upper
"""
NUMBERS = """
    abs ceil div0 div0null exp floor ln mod power round sign sqrt trunc uniform random
"""
TIMES = """
    add_months convert_timezone current_date current_timestamp date_from_parts date_part date_trunc
    dateadd datediff day dayname dayofmonth dayofweek dayofweekiso dayofyear extract hour last_day
    minute month monthname next_day quarter second sysdate timestampadd timestampdiff
    to_date to_time to_timestamp to_timestamp_ntz week weekiso year yearofweek yearofweekiso
"""
CONVERSIONS = """
    cast hash md5 md5_hex parse_json sha2 to_boolean to_char to_decimal to_json to_number to_varchar
    to_variant try_cast try_parse_json try_to_boolean try_to_date try_to_decimal try_to_number
    try_to_timestamp try_to_timestamp_ntz typeof as_varchar get get_path
    array_construct array_contains array_size object_construct
"""
TABLES = "flatten generator table result_scan last_query_id seq4 query_history_by_user"
SESSION = """
    current_account current_database current_role current_schema current_user current_version
    current_warehouse
"""

FUNCTIONS = frozenset(
    " ".join(
        (AGGREGATES, WINDOWS, CONDITIONS, TEXTS, NUMBERS, TIMES, CONVERSIONS, TABLES, SESSION)
    ).split()
)

# https://docs.snowflake.com/en/sql-reference/reserved-keywords: those that may not name a column,
# table or alias. sqlglot reads some of them as names.
_RESERVED = """
    account all alter and any as between by case cast check column connect connection constraint
    create cross current current_date current_time current_timestamp current_user database delete
    distinct drop else exists false following for from full grant group gscluster having ilike in
    increment inner insert intersect into is issue join lateral left like localtime localtimestamp
    minus natural not null of on or order organization qualify regexp revoke right rlike row rows
    sample schema select set some start table tablesample then to trigger true try_cast union
    unique update using values view when whenever where with
"""
RESERVED = frozenset(_RESERVED.split())

_SYNTAX = """
    all and any as binary by case char decimal distinct else except exclude exists filter from
    group having ilike in insert intersect interval into is join lateral like not number numeric
    on or over partition qualify recursive rename replace select set string then timestamp_ltz
    timestamp_ntz timestamp_tz union unique using values varchar when where with within
"""
SYNTAX = frozenset(_SYNTAX.split())
