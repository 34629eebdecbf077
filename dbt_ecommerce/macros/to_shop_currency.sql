{#-
    An amount in the shop's currency, rounded to its cent: amount times the rate that the seed
    currency_rates, joined by currency and day, gives. Null where no rate is known: better no number
    than a wrong one, and a test names the currency.
-#}
{% macro to_shop_currency(amount, rate) -%}
    cast(round({{ amount }} * {{ rate }}, 2) as decimal(18, 2))
{%- endmacro %}
