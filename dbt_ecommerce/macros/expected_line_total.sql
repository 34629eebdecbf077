{#-
    What a line should cost: units times price less the discount, rounded half away from zero to the
    cent, all in decimals.
-#}
{% macro expected_line_total(quantity, unit_price, discount_pct) -%}
    round({{ quantity }} * {{ unit_price }} * (100 - {{ discount_pct }}) * 0.01, 2)
{%- endmacro %}
