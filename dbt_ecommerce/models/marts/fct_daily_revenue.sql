with

dates as (

    select * from {{ ref('dim_dates') }}

),

orders as (

    select * from {{ ref('fct_orders') }}

),

payments as (

    select * from {{ ref('fct_payments') }}

),

refunds as (

    select * from {{ ref('int_refunds_matched') }}

),

orders_of_day as (

    select
        order_date as date_day,
        count(*) as orders_placed,
        sum(case when is_cancelled then 1 else 0 end) as cancelled_orders,
        sum(case when is_first_order then 1 else 0 end) as new_customers,
        count(distinct case when not is_cancelled then customer_id end) as customers,
        sum(case when is_cancelled then 0 else unit_count end) as units_sold,
        sum(gross_revenue) as gross_revenue,
        sum(case when is_cancelled then 0 else discount_amount end) as discounts,
        sum(case when payment_status = 'unpaid' then 1 else 0 end) as unpaid_orders
    from orders
    group by order_date

),

payments_of_day as (

    select
        charge_date as date_day,
        sum(case when captured_amount > 0 then 1 else 0 end) as payment_count,
        sum(case when status = 'failed' then 1 else 0 end) as failed_payment_count,
        sum(captured_amount) as payments
    from payments
    group by charge_date

),

refunds_of_day as (

    select
        refund_date as date_day,
        count(*) as refund_count,
        sum(refunded_amount) as refunds,
        sum(revenue_refund_amount) as revenue_refunds
    from refunds
    where is_succeeded and not is_release
    group by refund_date

),

loads as (

    select _loaded_at from orders
    union all
    select _loaded_at from payments

),

-- every day from the first on which anything happened, days without an order too; an order dated
-- before the calendar or after the newest load makes no day
span as (

    select
        min(happened.date_day) as first_day,
        (select cast(max(loads._loaded_at) as date) from loads) as last_day
    from (
        select date_day from orders_of_day
        union all
        select date_day from payments_of_day
        union all
        select date_day from refunds_of_day
    ) as happened
    inner join dates
        on happened.date_day = dates.date_day

),

final as (

    select
        ---------- ids
        dates.date_day as order_date,

        ---------- orders placed on this day
        cast(coalesce(orders_of_day.orders_placed, 0) as bigint) as orders_placed,
        cast(coalesce(orders_of_day.cancelled_orders, 0) as bigint) as cancelled_orders,
        cast(coalesce(orders_of_day.orders_placed - orders_of_day.cancelled_orders, 0) as bigint)
            as orders,
        cast(coalesce(orders_of_day.unpaid_orders, 0) as bigint) as unpaid_orders,
        cast(coalesce(orders_of_day.customers, 0) as bigint) as customers,
        cast(coalesce(orders_of_day.new_customers, 0) as bigint) as new_customers,
        cast(coalesce(orders_of_day.units_sold, 0) as bigint) as units_sold,
        cast(coalesce(orders_of_day.gross_revenue, 0) as decimal(18, 2)) as gross_revenue,
        cast(coalesce(orders_of_day.discounts, 0) as decimal(18, 2)) as discounts,
        cast(
            {{ ratio(
                'orders_of_day.gross_revenue',
                '(orders_of_day.orders_placed - orders_of_day.cancelled_orders)',
                2,
            ) }} as decimal(18, 2)
        ) as average_order_value,

        ---------- money that moved on this day
        cast(coalesce(payments_of_day.payment_count, 0) as bigint) as payment_count,
        cast(coalesce(payments_of_day.failed_payment_count, 0) as bigint) as failed_payment_count,
        cast(coalesce(payments_of_day.payments, 0) as decimal(18, 2)) as payments,
        cast(coalesce(refunds_of_day.refund_count, 0) as bigint) as refund_count,
        cast(coalesce(refunds_of_day.refunds, 0) as decimal(18, 2)) as refunds,
        cast(coalesce(refunds_of_day.revenue_refunds, 0) as decimal(18, 2)) as revenue_refunds,

        ---------- the day's result
        cast(
            coalesce(orders_of_day.gross_revenue, 0)
            - coalesce(refunds_of_day.revenue_refunds, 0) as decimal(18, 2)
        ) as net_revenue
    from dates
    inner join span
        on dates.date_day between span.first_day and span.last_day
    left join orders_of_day
        on dates.date_day = orders_of_day.date_day
    left join payments_of_day
        on dates.date_day = payments_of_day.date_day
    left join refunds_of_day
        on dates.date_day = refunds_of_day.date_day

)

select * from final
