{#- A marketing channel in one spelling: 'Google Ads ' and 'google-ads' are google_ads. -#}
{% macro channel(column) -%}
    replace(replace(lower({{ clean_text(column) }}), ' ', '_'), '-', '_')
{%- endmacro %}
