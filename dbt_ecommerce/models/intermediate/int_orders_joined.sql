{{ config(unique_key='order_id') }}

with

orders as (

    select * from {{ ref('int_orders_cleaned') }}

),

items_of_order as (

    select * from {{ ref('int_order_items_summed') }}

),

payments_of_order as (

    select * from {{ ref('int_order_payments_summed') }}

),

wanted as (

    select * from orders
    {{ where_changed('order_id') }}

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
        coalesce(payments_of_order.is_rate_missing, false) as is_rate_missing,
        payments_of_order.first_paid_at,
        case when orders.is_cancelled then 0 else orders.total_amount end as amount_due,
        case
            when payments_of_order.has_foreign_currency
                then orders.total_amount * {{ var('foreign_currency_tolerance') }}
            else 0
        end as tolerance,
        {{ newest_of([
            'orders.updated_at',
            'orders.created_at',
            'orders.ordered_at',
            'payments_of_order.last_refunded_at',
        ]) }} as last_changed_at,
        {{ newest_of([
            'orders._loaded_at',
            'items_of_order._loaded_at',
            'payments_of_order._loaded_at',
        ]) }} as _newest_loaded_at
    from wanted as orders
    left join items_of_order
        on orders.order_id = items_of_order.order_id
    left join payments_of_order
        on orders.order_id = payments_of_order.order_id
    where not orders.is_deleted

),

priced as (

    select
        ---------- ids
        order_id,
        customer_id,

        ---------- text
        status,
        source_status,
        {{ payment_status(
            'amount_due', 'captured_amount', 'refunded_amount', 'tolerance', 'is_rate_missing'
        ) }} as payment_status,
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
        is_future_dated,
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
