-- The lines in the item mart sum to what the order mart says of each order.
with

lines as (

    select
        order_id,
        count(*) as item_count,
        sum(line_total) as lines_total
    from {{ ref('fct_order_items') }}
    where not is_order_missing
    group by order_id

)

select
    orders.order_id,
    orders.item_count,
    lines.item_count as item_count_of_lines,
    orders.lines_total,
    lines.lines_total as lines_total_of_lines
from {{ ref('fct_orders') }} as orders
left join lines
    on orders.order_id = lines.order_id
where
    orders.item_count <> coalesce(lines.item_count, 0)
    or orders.lines_total <> coalesce(lines.lines_total, 0)
