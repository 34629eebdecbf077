{#-
    A model's schema is exactly what dbt_project.yml says, so that the names are those of the
    warehouse. Only in Snowflake's target for people does one's own name come before it. (On DuckDB
    theirs are other files.)
-#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if target.name == 'dev_snowflake' -%}
        {{ target.schema }}_{{ (custom_schema_name or 'marts') | trim | upper }}
    {%- else -%}
        {{ (custom_schema_name or target.schema) | trim }}
    {%- endif -%}
{%- endmacro %}
