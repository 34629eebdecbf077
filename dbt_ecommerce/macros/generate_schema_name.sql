{#- A model's schema is exactly what dbt_project.yml says: no target prefix, so that the names are those of the warehouse. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
