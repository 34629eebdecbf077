{#-
    Numerator by denominator as an exact decimal with `scale` places; null where the denominator is
    null or 0.
-#}
{% macro ratio(numerator, denominator, scale=4) -%}
    {{ return(adapter.dispatch('ratio')(numerator, denominator, scale)) }}
{%- endmacro %}

{#- DuckDB divides decimals as doubles: the quotient is rounded back to a decimal at once. -#}
{% macro duckdb__ratio(numerator, denominator, scale) -%}
    cast(
        round({{ numerator }} / nullif({{ denominator }}, 0), {{ scale }})
        as decimal(18, {{ scale }})
    )
{%- endmacro %}

{% macro default__ratio(numerator, denominator, scale) -%}
    cast(
        round(cast({{ numerator }} as decimal(38, 12)) / nullif({{ denominator }}, 0), {{ scale }})
        as decimal(18, {{ scale }})
    )
{%- endmacro %}
