-- What the customers who ordered in a period have brought in their whole life, net of refunds, in steps that include
-- the tiers' limits.
with

active as (

    select distinct orders.customer_id
    from published.fct_orders as orders
    left join published.fct_order_items as items
        on orders.order_id = items.order_id
    left join published.dim_products as products
        on items.product_id = products.product_id
    where
        orders.order_date between :first_day and :last_day
        and not orders.is_cancelled
        and (:all_categories or coalesce(products.category, 'Unknown product') in (:categories))

),

lifetimes as (

    select
        customers.customer_id,
        customers.net_revenue,
        case
            when customers.net_revenue < 100 then 0
            when customers.net_revenue < 250 then 100
            when customers.net_revenue < 500 then 250
            when customers.net_revenue < 1000 then 500
            when customers.net_revenue < 2000 then 1000
            when customers.net_revenue < 5000 then 2000
            when customers.net_revenue < 10000 then 5000
            else 10000
        end as value_from
    from published.dim_customers as customers
    inner join active
        on customers.customer_id = active.customer_id
    where customers.is_current

)

select
    value_from,
    count(*) as customers,
    cast(sum(net_revenue) as decimal(18, 2)) as net_revenue
from lifetimes
group by value_from
order by value_from
