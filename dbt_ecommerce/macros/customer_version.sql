{#- Join condition: the version of the order's customer that held when the order was placed. -#}
{% macro is_version_of_order(versions, orders) -%}
    {{ orders }}.customer_id = {{ versions }}.customer_id
    and {{ orders }}.ordered_at >= {{ versions }}.valid_from
    and ({{ orders }}.ordered_at < {{ versions }}.valid_to or {{ versions }}.valid_to is null)
{%- endmacro %}
