{#- ISO calendar of a date: day of the week (1 = Monday), week, and the year of the week. -#}
{% macro iso_day_of_week(date) -%}
    {{ return(adapter.dispatch('iso_day_of_week')(date)) }}
{%- endmacro %}
{% macro duckdb__iso_day_of_week(date) -%} cast(isodow({{ date }}) as integer) {%- endmacro %}
{% macro snowflake__iso_day_of_week(date) -%}
    cast(dayofweekiso({{ date }}) as integer)
{%- endmacro %}

{% macro iso_week(date) -%}
    {{ return(adapter.dispatch('iso_week')(date)) }}
{%- endmacro %}
{% macro duckdb__iso_week(date) -%} cast(weekofyear({{ date }}) as integer) {%- endmacro %}
{% macro snowflake__iso_week(date) -%} cast(weekiso({{ date }}) as integer) {%- endmacro %}

{% macro iso_year(date) -%}
    {{ return(adapter.dispatch('iso_year')(date)) }}
{%- endmacro %}
{% macro duckdb__iso_year(date) -%} cast(isoyear({{ date }}) as integer) {%- endmacro %}
{% macro snowflake__iso_year(date) -%} cast(yearofweekiso({{ date }}) as integer) {%- endmacro %}
