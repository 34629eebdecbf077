-- A line says of its order what the order itself says.
select
    order_items.order_item_id,
    order_items.order_id,
    order_items.order_status,
    orders.status
from {{ ref('fct_order_items') }} as order_items
left join {{ ref('fct_orders') }} as orders
    on order_items.order_id = orders.order_id
where
    order_items.is_order_missing <> (orders.order_id is null)
    or order_items.order_status is distinct from orders.status
    or order_items.customer_id is distinct from orders.customer_id
    or order_items.order_date is distinct from orders.order_date
    or order_items.is_cancelled <> coalesce(orders.is_cancelled, false)
