{#- The text at a path of a JSON column, or null: json_text('payload', ['card', 'brand']). -#}
{% macro json_text(column, path) -%}
    {{ return(adapter.dispatch('json_text')(column, path)) }}
{%- endmacro %}

{% macro duckdb__json_text(column, path) -%}
    json_extract_string({{ column }}, '$.{{ path | join(".") }}')
{%- endmacro %}

{% macro snowflake__json_text(column, path) -%}
    cast({{ column }}:{{ path | join('.') }} as varchar)
{%- endmacro %}
