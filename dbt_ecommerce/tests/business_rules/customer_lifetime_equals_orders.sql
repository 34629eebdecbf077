-- What the customer mart says of each current customer is what the order mart sums to.
with

orders as (

    select
        customer_id,
        sum(case when is_cancelled then 0 else 1 end) as order_count,
        sum(net_revenue) as net_revenue
    from {{ ref('fct_orders') }}
    where customer_id is not null
    group by customer_id

)

select
    customers.customer_id,
    customers.order_count,
    orders.order_count as order_count_in_fct_orders,
    customers.net_revenue,
    orders.net_revenue as net_revenue_in_fct_orders
from {{ ref('dim_customers') }} as customers
left join orders
    on customers.customer_id = orders.customer_id
where
    customers.is_current
    and (
        customers.order_count <> coalesce(orders.order_count, 0)
        or customers.net_revenue <> coalesce(orders.net_revenue, 0)
    )
