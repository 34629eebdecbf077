{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='order_id',
        on_schema_change='append_new_columns',
        post_hook="{{ delete_vanished('order_id', ref('stg_orders')) }}",
    )
}}

with

orders as (

    select * from {{ ref('stg_orders') }}

),

items_of_order as (

    select * from {{ ref('int_order_items_summed') }}

),

payments_of_order as (

    select * from {{ ref('int_order_payments_summed') }}

),

{% if is_incremental() %}

-- of all orders only keys, counts and load times are compared; the rest is read for those that changed
state as (

    select
        orders.order_id,
        orders.customer_id,
        coalesce(items_of_order.item_count, 0) as item_count,
        coalesce(payments_of_order.charge_count, 0) as charge_count,
        coalesce(payments_of_order.refund_count, 0) as refund_count,
        coalesce(payments_of_order.dispute_count, 0) as dispute_count,
        coalesce(payments_of_order.captured_amount, 0) as captured_amount,
        coalesce(payments_of_order.revenue_refund_amount, 0) as revenue_refund_amount,
        {{ newest_of(['orders._loaded_at', 'items_of_order._loaded_at', 'payments_of_order._loaded_at']) }} as _loaded_at
    from orders
    left join items_of_order
        on orders.order_id = items_of_order.order_id
    left join payments_of_order
        on orders.order_id = payments_of_order.order_id

),

differing as (

    select
        coalesce(state.order_id, known.order_id) as order_id,
        state.customer_id,
        known.customer_id as known_customer_id
    from state
    full outer join {{ this }} as known
        on state.order_id = known.order_id
    where
        state.order_id is null
        or {{ is_new_or_changed('state', 'known', 'order_id', [
            '_loaded_at', 'item_count', 'charge_count', 'refund_count', 'dispute_count', 'captured_amount', 'revenue_refund_amount'
        ]) }}

),

-- which order is a customer's first depends on all the customer's orders, also on one that is gone or is somebody else's now
changed as (

    select order_id from differing
    union
    select order_id
    from orders
    where
        customer_id in (select differing.customer_id from differing)
        or customer_id in (select differing.known_customer_id from differing)

),

{% endif %}

wanted as (

    select * from orders
    {% if is_incremental() %}
    where order_id in (select changed.order_id from changed)
    {% endif %}

),

joined as (

    select
        orders.*,
        coalesce(items_of_order.item_count, 0) as item_count,
        coalesce(items_of_order.unit_count, 0) as unit_count,
        coalesce(items_of_order.list_amount, 0) as list_amount,
        coalesce(items_of_order.lines_total, 0) as lines_total,
        coalesce(payments_of_order.charge_count, 0) as charge_count,
        coalesce(payments_of_order.refund_count, 0) as refund_count,
        coalesce(payments_of_order.dispute_count, 0) as dispute_count,
        coalesce(payments_of_order.captured_amount, 0) as captured_amount,
        coalesce(payments_of_order.refunded_amount, 0) as refunded_amount,
        coalesce(payments_of_order.revenue_refund_amount, 0) as revenue_refund_amount,
        coalesce(payments_of_order.disputed_amount, 0) as disputed_amount,
        coalesce(payments_of_order.lost_amount, 0) as lost_amount,
        payments_of_order.first_paid_at,
        case when orders.is_cancelled then 0 else orders.total_amount end as amount_due,
        case
            when payments_of_order.has_foreign_currency
                then orders.total_amount * {{ var('foreign_currency_tolerance') }}
            else 0
        end as tolerance,
        row_number() over (
            partition by orders.customer_id, orders.is_cancelled
            order by orders.ordered_at, orders.order_id
        ) as order_number,
        {{ newest_of(['orders.updated_at', 'orders.created_at', 'orders.ordered_at', 'payments_of_order.last_refunded_at']) }}
            as last_changed_at,
        {{ newest_of(['orders._loaded_at', 'items_of_order._loaded_at', 'payments_of_order._loaded_at']) }}
            as _newest_loaded_at
    from wanted as orders
    left join items_of_order
        on orders.order_id = items_of_order.order_id
    left join payments_of_order
        on orders.order_id = payments_of_order.order_id

),

priced as (

    select
        ---------- ids
        order_id,
        customer_id,

        ---------- text
        status,
        source_status,
        {{ payment_status('amount_due', 'captured_amount', 'refunded_amount', 'tolerance') }} as payment_status,
        shipping_address,
        shipping_city,
        shipping_state,
        shipping_country,
        shipping_zip,

        ---------- numerics
        item_count,
        unit_count,
        charge_count,
        refund_count,
        dispute_count,
        total_amount,
        list_amount,
        lines_total,
        list_amount - lines_total as discount_amount,
        amount_due as gross_revenue,
        captured_amount,
        refunded_amount,
        revenue_refund_amount,
        disputed_amount,
        lost_amount,
        amount_due - revenue_refund_amount as net_revenue,

        ---------- booleans
        is_cancelled,
        coalesce(not is_cancelled and customer_id is not null and order_number = 1, false) as is_first_order,
        item_count > 0 and total_amount = lines_total as is_total_consistent,

        ---------- timestamps
        order_date,
        ordered_at,
        first_paid_at,
        created_at,
        updated_at,
        last_changed_at,
        _newest_loaded_at as _loaded_at
    from joined

)

select * from priced
