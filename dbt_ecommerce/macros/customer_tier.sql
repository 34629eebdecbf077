{#- Tier of a customer by net lifetime revenue; the thresholds are variables of the project. -#}
{% macro customer_tier(net_revenue) -%}
    case
        when {{ net_revenue }} >= {{ var('tier_platinum_from') }} then 'platinum'
        when {{ net_revenue }} >= {{ var('tier_gold_from') }} then 'gold'
        when {{ net_revenue }} >= {{ var('tier_silver_from') }} then 'silver'
        else 'bronze'
    end
{%- endmacro %}
