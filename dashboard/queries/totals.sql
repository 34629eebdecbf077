-- What a period came to, over all categories. Money is in US dollars.
with

revenue as (

    select
        cast(coalesce(sum(orders), 0) as bigint) as orders,
        cast(coalesce(sum(gross_revenue), 0) as decimal(18, 2)) as gross_revenue,
        cast(coalesce(sum(net_revenue), 0) as decimal(18, 2)) as net_revenue,
        cast(coalesce(sum(refunds), 0) as decimal(18, 2)) as refunds,
        cast(coalesce(sum(refund_count), 0) as bigint) as refund_count
    from published.fct_daily_revenue
    where order_date between :first_day and :last_day

),

customers as (

    select count(distinct customer_id) as active_customers
    from published.fct_orders
    where
        order_date between :first_day and :last_day
        and not is_cancelled

)

select
    revenue.orders,
    revenue.gross_revenue,
    revenue.net_revenue,
    revenue.refunds,
    revenue.refund_count,
    customers.active_customers
from revenue
cross join customers
