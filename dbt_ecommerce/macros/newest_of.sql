{#-
    The latest (earliest) of several times, nulls left aside. Snowflake's greatest() is null as soon
    as one of them is.
-#}
{% macro newest_of(columns) -%}
    {{ return(adapter.dispatch('newest_of')(columns)) }}
{%- endmacro %}
{% macro duckdb__newest_of(columns) -%} greatest({{ columns | join(', ') }}) {%- endmacro %}
{% macro snowflake__newest_of(columns) -%}
    greatest_ignore_nulls({{ columns | join(', ') }})
{%- endmacro %}

{% macro oldest_of(columns) -%}
    {{ return(adapter.dispatch('oldest_of')(columns)) }}
{%- endmacro %}
{% macro duckdb__oldest_of(columns) -%} least({{ columns | join(', ') }}) {%- endmacro %}
{% macro snowflake__oldest_of(columns) -%}
    least_ignore_nulls({{ columns | join(', ') }})
{%- endmacro %}
