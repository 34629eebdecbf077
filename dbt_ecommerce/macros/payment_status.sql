{#-
    How the money that came in for an order compares with what is due: `due` is its total, 0 once it
    is cancelled. What is kept after refunds counts for overpaid; a refund does not make an order
    unpaid. Where part of the money has no rate, nobody can say.
-#}
{% macro payment_status(due, captured, refunded, tolerance, is_rate_missing) -%}
    case
        when {{ is_rate_missing }} then 'no_rate'
        when {{ captured }} - {{ refunded }} > {{ due }} + {{ tolerance }} then 'overpaid'
        when {{ captured }} >= {{ due }} - {{ tolerance }} then 'matched'
        when {{ captured }} = 0 then 'unpaid'
        else 'underpaid'
    end
{%- endmacro %}
