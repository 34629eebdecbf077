{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='order_item_id',
        on_schema_change='append_new_columns',
        post_hook="{{ delete_vanished('order_item_id', ref('stg_order_items')) }}",
    )
}}

with

order_items as (

    select * from {{ ref('stg_order_items') }}

),

orders as (

    select * from {{ ref('stg_orders') }}

),

{% if is_incremental() %}

-- of all lines only what tells a change is compared; the rest is read for those that changed
state as (

    select
        order_items.order_item_id,
        orders.order_id is null as is_order_missing,
        {{ newest_of(['order_items._loaded_at', 'orders._loaded_at']) }} as _loaded_at
    from order_items
    left join orders
        on order_items.order_id = orders.order_id

),

changed as (

    select state.order_item_id
    from state
    left join {{ this }} as known
        on state.order_item_id = known.order_item_id
    where {{ is_new_or_changed('state', 'known', 'order_item_id', ['_loaded_at', 'is_order_missing']) }}

),

{% endif %}

final as (

    select
        ---------- ids
        order_items.order_item_id,
        order_items.order_id,
        order_items.product_id,
        orders.customer_id,

        ---------- text
        orders.status as order_status,

        ---------- numerics
        order_items.quantity,
        cast(order_items.unit_price as decimal(12, 2)) as unit_price,
        cast(order_items.discount_pct as decimal(5, 2)) as discount_pct,
        cast(order_items.quantity * order_items.unit_price as decimal(18, 2)) as list_amount,
        cast(order_items.quantity * order_items.unit_price - order_items.line_total as decimal(18, 2)) as discount_amount,
        cast(order_items.line_total as decimal(18, 2)) as line_total,
        cast(case when orders.is_cancelled then 0 else order_items.line_total end as decimal(18, 2)) as gross_revenue,

        ---------- booleans
        coalesce(orders.is_cancelled, false) as is_cancelled,
        orders.order_id is null as is_order_missing,
        abs(
            order_items.line_total
            - {{ expected_line_total('order_items.quantity', 'order_items.unit_price', 'order_items.discount_pct') }}
        ) <= 0.01 as is_line_total_consistent,

        ---------- timestamps
        orders.order_date,
        orders.ordered_at,
        order_items.created_at,
        {{ newest_of(['order_items._loaded_at', 'orders._loaded_at']) }} as _loaded_at
    from order_items
    left join orders
        on order_items.order_id = orders.order_id
    {% if is_incremental() %}
    where order_items.order_item_id in (select changed.order_item_id from changed)
    {% endif %}

)

select * from final
