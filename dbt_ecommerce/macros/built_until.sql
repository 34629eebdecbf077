{#-
    Load time up to which this raw table is built. A source that is loaded again while the day is being built reaches the raw
    tables before the marts: tests that compare the two leave such rows to the next run.
-#}
{% macro built_until(raw_table) -%}
    (select loaded_until from {{ ref('built_until') }} where raw_table = '{{ raw_table }}')
{%- endmacro %}
