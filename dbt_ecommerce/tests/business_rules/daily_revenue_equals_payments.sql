-- Payments and refunds of the daily mart sum to those of the same days in the payment mart and
-- among the refunds.
with

daily as (

    select
        min(order_date) as first_day,
        max(order_date) as last_day,
        coalesce(sum(payments), 0) as payments,
        coalesce(sum(refunds), 0) as refunds,
        coalesce(sum(revenue_refunds), 0) as revenue_refunds
    from {{ ref('fct_daily_revenue') }}

),

payments as (

    select coalesce(sum(payments.captured_amount), 0) as payments
    from {{ ref('fct_payments') }} as payments
    inner join daily
        on payments.charge_date between daily.first_day and daily.last_day

),

refunds as (

    select
        coalesce(sum(refunds.refunded_amount), 0) as refunds,
        coalesce(sum(refunds.revenue_refund_amount), 0) as revenue_refunds
    from {{ ref('int_refunds_matched') }} as refunds
    inner join daily
        on refunds.refund_date between daily.first_day and daily.last_day
    where refunds.is_succeeded

)

select
    daily.payments,
    payments.payments as payments_in_fct_payments,
    daily.refunds,
    refunds.refunds as refunds_in_int_refunds_matched,
    daily.revenue_refunds,
    refunds.revenue_refunds as revenue_refunds_in_int_refunds_matched
from daily
cross join payments
cross join refunds
where
    daily.payments <> payments.payments
    or daily.refunds <> refunds.refunds
    or daily.revenue_refunds <> refunds.revenue_refunds
