-- a line changes with its order, whose status it shows
select
    order_item_id,
    _loaded_at
from {{ ref('int_order_items_cleaned') }}
union all
select
    order_items.order_item_id,
    orders._loaded_at
from {{ ref('int_orders_cleaned') }} as orders
inner join {{ ref('int_order_items_cleaned') }} as order_items
    on orders.order_id = order_items.order_id
