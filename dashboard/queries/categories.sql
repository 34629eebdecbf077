-- What the category filter offers: every category that has ever sold.
select distinct coalesce(products.category, 'Unknown product') as category
from published.fct_order_items as items
left join published.dim_products as products
    on items.product_id = products.product_id
order by category
