-- a customer changes with every order
select
    customer_id,
    _loaded_at
from {{ ref('int_customers_cleaned') }}
union all
select
    orders.customer_id,
    changed_orders._loaded_at
from {{ ref('int_changed_orders') }} as changed_orders
inner join {{ ref('int_orders_cleaned') }} as orders on changed_orders.order_id = orders.order_id
where orders.customer_id is not null
