{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='order_id',
        on_schema_change='append_new_columns',
        post_hook="{{ delete_vanished('order_id', ref('stg_orders')) }}",
    )
}}

with

orders as (

    select * from {{ ref('int_orders_joined') }}

),

customers as (

    select * from {{ ref('dim_customers') }}

),

{% if is_incremental() %}

-- of all orders only what tells a change is compared; the rest is read for those that changed
state as (

    select
        orders.order_id,
        customers.customer_key,
        orders.item_count,
        orders.charge_count,
        orders.refund_count,
        orders.dispute_count,
        orders.revenue_refund_amount,
        orders.is_first_order,
        orders._loaded_at
    from orders
    left join customers
        on
            orders.customer_id = customers.customer_id
            and orders.ordered_at >= customers.valid_from
            and (orders.ordered_at < customers.valid_to or customers.valid_to is null)

),

changed as (

    select state.order_id
    from state
    left join {{ this }} as known
        on state.order_id = known.order_id
    where
        {{ is_new_or_changed('state', 'known', 'order_id', [
            '_loaded_at', 'item_count', 'charge_count', 'refund_count', 'dispute_count', 'revenue_refund_amount', 'is_first_order',
            'customer_key'
        ]) }}

),

{% endif %}

final as (

    select
        ---------- ids
        orders.order_id,
        orders.customer_id,
        customers.customer_key,

        ---------- text
        orders.status,
        orders.source_status,
        orders.payment_status,
        orders.shipping_address,
        orders.shipping_city,
        orders.shipping_state,
        orders.shipping_country,
        orders.shipping_zip,

        ---------- numerics
        orders.item_count,
        orders.unit_count,
        orders.charge_count,
        orders.refund_count,
        orders.dispute_count,
        cast(orders.total_amount as decimal(18, 2)) as total_amount,
        cast(orders.list_amount as decimal(18, 2)) as list_amount,
        cast(orders.lines_total as decimal(18, 2)) as lines_total,
        cast(orders.discount_amount as decimal(18, 2)) as discount_amount,
        cast(orders.gross_revenue as decimal(18, 2)) as gross_revenue,
        cast(orders.captured_amount as decimal(18, 2)) as captured_amount,
        cast(orders.refunded_amount as decimal(18, 2)) as refunded_amount,
        cast(orders.revenue_refund_amount as decimal(18, 2)) as revenue_refund_amount,
        cast(orders.disputed_amount as decimal(18, 2)) as disputed_amount,
        cast(orders.lost_amount as decimal(18, 2)) as lost_amount,
        cast(orders.net_revenue as decimal(18, 2)) as net_revenue,

        ---------- booleans
        orders.is_cancelled,
        orders.is_first_order,
        orders.is_total_consistent,

        ---------- timestamps
        orders.order_date,
        orders.ordered_at,
        orders.first_paid_at,
        orders.created_at,
        orders.updated_at,
        orders._loaded_at
    from orders
    left join customers
        on
            orders.customer_id = customers.customer_id
            and orders.ordered_at >= customers.valid_from
            and (orders.ordered_at < customers.valid_to or customers.valid_to is null)
    {% if is_incremental() %}
    where orders.order_id in (select changed.order_id from changed)
    {% endif %}

)

select * from final
