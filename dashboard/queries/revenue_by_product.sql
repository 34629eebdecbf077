-- Products by revenue, with the period before beside it.
with

lines as (

    select
        items.product_id,
        coalesce(products.product_name, 'Unknown product') as product,
        coalesce(products.category, 'Unknown product') as category,
        items.order_id,
        items.quantity,
        items.gross_revenue,
        items.order_date >= :first_day as is_now
    from published.fct_order_items as items
    left join published.dim_products as products
        on items.product_id = products.product_id
    where
        items.order_date between :before_first_day and :last_day
        and not items.is_cancelled

)

select
    product_id,
    product,
    category,
    count(distinct case when is_now then order_id end) as orders,
    cast(coalesce(sum(case when is_now then quantity end), 0) as bigint) as units,
    cast(coalesce(sum(case when is_now then gross_revenue end), 0) as decimal(18, 2)) as gross_revenue,
    cast(coalesce(sum(case when not is_now then gross_revenue end), 0) as decimal(18, 2)) as gross_revenue_before
from lines
where :all_categories or category in (:categories)
group by product_id, product, category
order by gross_revenue desc, product, product_id
