{#-
    One row per key: the newest version, by the time the source gave it, then by the load that brought it. The loader upserts
    by key, so this changes nothing as long as the loader keeps its word; no warehouse enforces a key, and a doubled order
    must not become doubled revenue. Further `tie_breakers` make the choice certain where keys only meet after cleaning.
-#}
{% macro newest_version(key, version, tie_breakers=[]) -%}
    qualify row_number() over (
        partition by {{ key | join(', ') }}
        order by {{ version }} desc nulls last, _loaded_at desc
        {%- for column in tie_breakers %}, {{ column }}{% endfor %}
    ) = 1
{%- endmacro %}

{#-
    The rows of a large raw table that are not deleted, one per key: the choice of newest_version(). It is only written into
    the view while a key may stand there twice, because it makes whoever reads a few rows of the view look at all of them.
    `model` is one that has a row for each key.
-#}
{% macro newest_rows(relation, key, version, model) -%}
    select * from {{ relation }}
    where _deleted_at is null
    {%- if may_have_doubled_rows(relation, key, model) %}
    {{ newest_version([key], version) }}
    {%- endif %}
{%- endmacro %}

{#-
    Whether a key may stand twice: not if the rows that were loaded up to the last complete build are those that it has made
    something of, and those that were loaded since repeat none. What was built holds each key once, or the tests of the marts have
    stopped the day; the full refresh that mends it looks at all rows.
-#}
{% macro may_have_doubled_rows(relation, key, model) -%}
    {%- set built, built_until = as_built(model), as_built('built_until') -%}
    {%- if not execute or built is none or built_until is none -%}
        {{ return(true) }}
    {%- endif -%}
    {%- if flags.FULL_REFRESH -%}
        {{ return(run_query('select ' ~ repeated_keys(key) ~ ' from ' ~ relation ~ ' where _deleted_at is null').rows[0][0] > 0) }}
    {%- endif -%}
    {%- set since = 'coalesce((select loaded_until from ' ~ built_until ~ " where raw_table = '" ~ relation.identifier | lower ~ "'), "
        ~ "cast('1970-01-01' as timestamp))" -%}
    {%- set differs, repeated = compared_to_raw(built, relation, key, since) -%}
    {{ return(differs or repeated > 0) }}
{%- endmacro %}

{#- How many rows of an aggregation repeat a key. -#}
{% macro repeated_keys(key) -%}
    count(*) - count(distinct {{ key }})
{%- endmacro %}
