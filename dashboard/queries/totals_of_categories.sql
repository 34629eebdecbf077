-- What the lines of some categories came to. An order counts once, however many of its lines are of these categories.
select
    count(distinct items.order_id) as orders,
    cast(coalesce(sum(items.gross_revenue), 0) as decimal(18, 2)) as gross_revenue,
    count(distinct items.customer_id) as active_customers
from published.fct_order_items as items
left join published.dim_products as products
    on items.product_id = products.product_id
where
    items.order_date between :first_day and :last_day
    and not items.is_cancelled
    and coalesce(products.category, 'Unknown product') in (:categories)
