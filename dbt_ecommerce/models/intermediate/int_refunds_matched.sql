{{ config(materialized='table') }}

with

refunds as (

    select * from {{ ref('int_refunds_cleaned') }}
    where not is_deleted

),

charges as (

    select * from {{ ref('int_charges_converted') }}
    where not is_deleted

),

orders as (

    select * from {{ ref('int_orders_cleaned') }}
    where not is_deleted

),

currency_rates as (

    select * from {{ ref('currency_rates') }}

),

refunded_charges as (

    select *
    from charges
    where charge_id in (select refunds.charge_id from refunds)

),

refunded_orders as (

    select
        order_id,
        total_amount,
        is_cancelled
    from orders
    where order_id in (select refunded_charges.referenced_order_id from refunded_charges)

),

captured_of_order as (

    select
        referenced_order_id as order_id,
        sum(coalesce(captured_amount, 0)) as captured_amount
    from charges
    where referenced_order_id in (select refunded_orders.order_id from refunded_orders)
    group by referenced_order_id

),

-- Stripe also gives back by a refund what was authorised and never captured: when it is voided,
-- expires, or is captured in part. Such refunds touch no balance. Of a charge's refunds the first
-- ones without a balance transaction are such, up to what was not captured, and all of a charge
-- that brought nothing; everything else is money that moved.
given_back_by_charge as (

    select
        refunds.*,
        case
            when refunded_charges.amount > refunded_charges.amount_collected
                then refunded_charges.amount - refunded_charges.amount_collected
            else 0
        end as never_captured,
        refunds.has_balance_transaction and refunded_charges.amount_collected > 0
            as touched_balance,
        case when refunds.is_succeeded then refunds.amount else 0 end as amount_succeeded,
        sum(case when refunds.is_succeeded then refunds.amount else 0 end) over (
            partition by refunds.charge_id
            order by
                case when refunds.reason = 'expired_uncaptured_charge' then 0 else 1 end,
                case when refunds.has_balance_transaction then 1 else 0 end,
                refunds.refunded_at,
                refunds.refund_id
            rows between unbounded preceding and current row
        ) as amount_succeeded_so_far
    from refunds
    left join refunded_charges
        on refunds.charge_id = refunded_charges.charge_id

),

moved as (

    select
        *,
        case
            when touched_balance or amount_succeeded_so_far - amount_succeeded > never_captured
                then amount_succeeded
            when amount_succeeded_so_far > never_captured
                then amount_succeeded_so_far - never_captured
            else 0
        end as amount_given_back
    from given_back_by_charge

),

-- a refund is converted at the rate of its charge's day, so that a full refund takes back exactly
-- what was paid
matched as (

    select
        refunds.*,
        refunded_orders.order_id,
        refunded_charges.charge_id is null as is_orphan_refund,
        coalesce(not refunded_orders.is_cancelled, false) as is_of_live_order,
        {{ to_shop_currency('refunds.amount_given_back', 'currency_rates.rate_to_usd') }}
            as refunded_amount,
        captured_of_order.captured_amount - refunded_orders.total_amount as order_overpayment
    from moved as refunds
    left join refunded_charges
        on refunds.charge_id = refunded_charges.charge_id
    left join refunded_orders
        on refunded_charges.referenced_order_id = refunded_orders.order_id
    left join captured_of_order
        on refunded_orders.order_id = captured_of_order.order_id
    left join currency_rates
        on
            refunds.currency = currency_rates.currency
            and coalesce(refunded_charges.charge_date, refunds.refund_date)
            between currency_rates.valid_from and currency_rates.valid_to

),

summed as (

    select
        *,
        coalesce(refunded_amount, 0) as given_back,
        sum(coalesce(refunded_amount, 0)) over (
            partition by order_id
            order by refunded_at, refund_id
            rows between unbounded preceding and current row
        ) as given_back_so_far,
        case when order_overpayment > 0 then order_overpayment else 0 end as returnable
    from matched

),

-- what gives back a double payment lowers no revenue; only what goes beyond it does
weighed as (

    select
        *,
        case when given_back_so_far > returnable then given_back_so_far - returnable else 0 end
        - case
            when given_back_so_far - given_back > returnable
                then given_back_so_far - given_back - returnable
            else 0
        end
            as beyond_overpayment
    from summed

),

final as (

    select
        ---------- ids
        refund_id,
        charge_id,
        order_id,

        ---------- text
        status,
        reason,
        currency,

        ---------- numerics
        amount,
        cast(amount_given_back as decimal(18, 3)) as amount_given_back,
        refunded_amount,
        cast(case when is_of_live_order then beyond_overpayment else 0 end as decimal(18, 2))
            as revenue_refund_amount,

        ---------- booleans
        is_succeeded,
        is_succeeded and amount_given_back = 0 as is_release,
        is_orphan_refund,

        ---------- timestamps
        refund_date,
        refunded_at,
        _loaded_at
    from weighed

)

select * from final
