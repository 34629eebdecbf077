{{
    config(
        materialized='incremental',
        incremental_strategy=upsert(),
        unique_key='order_id',
        on_schema_change='fail',
        pre_hook="{{ delete_gone('order_id', ref('int_changed_orders'), ref('int_orders_joined')) }}",
        post_hook="{{ give_versions_to_their_orders(ref('dim_customers'), ref('int_changed_customers')) }}",
    )
}}

with

orders as (

    select * from {{ ref('int_orders_joined') }}
    {{ of_this_build() }}

),

customers as (

    select * from {{ ref('dim_customers') }}

),

versions as (

    select
        customer_key,
        customer_id,
        valid_from,
        valid_to
    from customers
    {{ of_changed('customer_id', 'orders') }}

),

final as (

    select
        ---------- ids
        orders.order_id,
        orders.customer_id,
        versions.customer_key,

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
    left join versions
        on {{ is_version_of_order('versions', 'orders') }}

)

select * from final
