{{
    config(
        materialized='incremental',
        incremental_strategy=upsert(),
        unique_key='order_item_id',
        on_schema_change='fail',
        pre_hook="{{ delete_gone('order_item_id', ref('int_touched_order_items'), ref('int_order_items_cleaned')) }}",
    )
}}

with

order_items as (

    select * from {{ ref('int_order_items_cleaned') }}

),

orders as (

    select * from {{ ref('int_orders_cleaned') }}

),

touched_order_items as (

    select * from {{ ref('int_touched_order_items') }}

),

changed_orders as (

    select * from {{ ref('int_changed_orders') }}

),

wanted as (

    select * from order_items
    {%- if is_incremental() %}
    where
        order_item_id in (select touched_order_items.order_item_id from touched_order_items)
        or order_id in (select changed_orders.order_id from changed_orders)
    {%- endif %}

),

orders_of_wanted as (

    select * from orders
    {%- if is_incremental() %}
    where order_id in (select wanted.order_id from wanted)
    {%- endif %}

),

final as (

    select
        ---------- ids
        wanted.order_item_id,
        wanted.order_id,
        wanted.product_id,
        orders_of_wanted.customer_id,

        ---------- text
        orders_of_wanted.status as order_status,

        ---------- numerics
        wanted.quantity,
        cast(wanted.unit_price as decimal(12, 2)) as unit_price,
        cast(wanted.discount_pct as decimal(5, 2)) as discount_pct,
        cast(wanted.quantity * wanted.unit_price as decimal(18, 2)) as list_amount,
        cast(wanted.quantity * wanted.unit_price - wanted.line_total as decimal(18, 2)) as discount_amount,
        cast(wanted.line_total as decimal(18, 2)) as line_total,
        cast(case when orders_of_wanted.is_cancelled then 0 else wanted.line_total end as decimal(18, 2)) as gross_revenue,

        ---------- booleans
        coalesce(orders_of_wanted.is_cancelled, false) as is_cancelled,
        orders_of_wanted.order_id is null as is_order_missing,
        abs(
            wanted.line_total
            - {{ expected_line_total('wanted.quantity', 'wanted.unit_price', 'wanted.discount_pct') }}
        ) <= 0.01 as is_line_total_consistent,

        ---------- timestamps
        orders_of_wanted.order_date,
        orders_of_wanted.ordered_at,
        wanted.created_at,
        {{ newest_of(['wanted._loaded_at', 'orders_of_wanted._loaded_at']) }} as _loaded_at
    from wanted
    left join orders_of_wanted
        on wanted.order_id = orders_of_wanted.order_id

)

select * from final
