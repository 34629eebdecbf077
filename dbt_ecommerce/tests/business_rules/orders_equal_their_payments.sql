-- The charges in the payment mart sum to what the order mart says of each order.
with

payments as (

    select
        order_id,
        count(*) as charge_count,
        sum(coalesce(captured_amount, 0)) as captured_amount,
        sum(coalesce(refunded_amount, 0)) as refunded_amount
    from {{ ref('fct_payments') }}
    where order_id is not null
    group by order_id

)

select
    orders.order_id,
    orders.charge_count,
    payments.charge_count as charge_count_of_payments,
    orders.captured_amount,
    payments.captured_amount as captured_amount_of_payments,
    orders.refunded_amount,
    payments.refunded_amount as refunded_amount_of_payments
from {{ ref('fct_orders') }} as orders
left join payments
    on orders.order_id = payments.order_id
where
    orders.charge_count <> coalesce(payments.charge_count, 0)
    or orders.captured_amount <> coalesce(payments.captured_amount, 0)
    or orders.refunded_amount <> coalesce(payments.refunded_amount, 0)
