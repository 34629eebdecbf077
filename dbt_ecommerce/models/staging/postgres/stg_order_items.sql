with

order_items as (

    select * from {{ source('postgres', 'raw_order_items') }}

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
        _deleted_at is not null as is_deleted,

        ---------- timestamps
        created_at,
        _loaded_at
    from order_items

)

select * from cleaned
