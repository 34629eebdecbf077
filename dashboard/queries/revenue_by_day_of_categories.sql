-- One row per day, days without any order included, for the lines of some categories.
with

lines as (

    select
        items.order_date,
        count(distinct items.order_id) as orders,
        cast(sum(items.gross_revenue) as decimal(18, 2)) as gross_revenue,
        count(distinct items.customer_id) as active_customers
    from published.fct_order_items as items
    left join published.dim_products as products
        on items.product_id = products.product_id
    where
        items.order_date between :first_day and :last_day
        and not items.is_cancelled
        and coalesce(products.category, 'Unknown product') in (:categories)
    group by items.order_date

)

select
    days.order_date as day,
    coalesce(lines.orders, 0) as orders,
    coalesce(lines.gross_revenue, 0) as gross_revenue,
    coalesce(lines.active_customers, 0) as active_customers
from published.fct_daily_revenue as days
left join lines
    on days.order_date = lines.order_date
where days.order_date between :first_day and :last_day
order by days.order_date
