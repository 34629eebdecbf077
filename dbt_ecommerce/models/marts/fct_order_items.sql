{{ config(materialized='incremental', unique_key='order_item_id') }}

with

order_items as (

    select * from {{ ref('int_order_items_cleaned') }}

),

orders as (

    select * from {{ ref('int_orders_cleaned') }}
    where not is_deleted

),

wanted as (

    select * from order_items
    {{ where_changed('order_item_id') }}

),

final as (

    select
        ---------- ids
        wanted.order_item_id,
        wanted.order_id,
        wanted.product_id,
        orders.customer_id,

        ---------- text
        orders.status as order_status,

        ---------- numerics
        wanted.quantity,
        cast(wanted.unit_price as decimal(12, 2)) as unit_price,
        cast(wanted.discount_pct as decimal(5, 2)) as discount_pct,
        cast(wanted.quantity * wanted.unit_price as decimal(18, 2)) as list_amount,
        cast(wanted.quantity * wanted.unit_price - wanted.line_total as decimal(18, 2))
            as discount_amount,
        cast(wanted.line_total as decimal(18, 2)) as line_total,
        cast(
            case
                when orders.is_cancelled then 0
                when orders.order_id is not null then wanted.line_total
            end as decimal(18, 2)
        ) as gross_revenue,

        ---------- booleans
        coalesce(orders.is_cancelled, false) as is_cancelled,
        orders.order_id is null as is_order_missing,
        abs(
            wanted.line_total
            - {{ expected_line_total(
                'wanted.quantity', 'wanted.unit_price', 'wanted.discount_pct'
            ) }}
        ) <= 0.01 as is_line_total_consistent,

        ---------- timestamps
        orders.order_date,
        orders.ordered_at,
        wanted.created_at,
        {{ newest_of(['wanted._loaded_at', 'orders._loaded_at']) }} as _loaded_at
    from wanted
    left join orders
        on wanted.order_id = orders.order_id
    where not wanted.is_deleted

)

select * from final
