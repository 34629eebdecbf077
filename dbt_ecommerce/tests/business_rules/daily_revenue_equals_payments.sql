-- The daily mart's payments, refunds and net revenue sum to those of the payment and order marts.
with

daily as (

    select
        coalesce(sum(payments), 0) as payments,
        coalesce(sum(revenue_refunds), 0) as revenue_refunds,
        coalesce(sum(net_revenue), 0) as net_revenue
    from {{ ref('fct_daily_revenue') }}

),

payments as (

    select coalesce(sum(captured_amount), 0) as payments from {{ ref('fct_payments') }}

),

orders as (

    select
        coalesce(sum(revenue_refund_amount), 0) as revenue_refunds,
        coalesce(sum(net_revenue), 0) as net_revenue
    from {{ ref('fct_orders') }}

)

select
    daily.payments,
    payments.payments as payments_in_fct_payments,
    daily.revenue_refunds,
    orders.revenue_refunds as revenue_refunds_in_fct_orders,
    daily.net_revenue,
    orders.net_revenue as net_revenue_in_fct_orders
from daily
cross join payments
cross join orders
where
    daily.payments <> payments.payments
    or daily.revenue_refunds <> orders.revenue_refunds
    or daily.net_revenue <> orders.net_revenue
