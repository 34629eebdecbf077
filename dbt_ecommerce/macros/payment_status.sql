{#-
    How the money that came in for an order compares with what is due: `due` is its total, 0 once it
    is cancelled. What is kept after refunds counts for overpaid; a refund does not make an order
    unpaid.
-#}
{% macro payment_status(due, captured, refunded, tolerance) -%}
    case
        when {{ captured }} - {{ refunded }} > {{ due }} + {{ tolerance }} then 'overpaid'
        when {{ captured }} >= {{ due }} - {{ tolerance }} then 'matched'
        when {{ captured }} = 0 then 'unpaid'
        else 'underpaid'
    end
{%- endmacro %}
