with

order_items as (

    {{ newest_rows(source('postgres', 'raw_order_items'), 'order_item_id', 'created_at', 'int_order_items_cleaned') }}

),

cleaned as (

    select
        ---------- ids
        order_item_id,
        order_id,
        product_id,

        ---------- numerics
        coalesce(quantity, 0) as quantity,
        unit_price,
        coalesce(discount_pct, 0) as discount_pct,
        line_total,

        ---------- booleans
        quantity is null or quantity <= 0 as is_quantity_suspicious,
        coalesce(discount_pct < 0 or discount_pct > 100, false) as is_discount_suspicious,

        ---------- timestamps
        created_at,
        _loaded_at
    from order_items

)

select * from cleaned
