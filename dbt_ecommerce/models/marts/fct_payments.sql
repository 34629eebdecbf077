{{ config(materialized='incremental', unique_key='charge_id') }}

with

charges as (

    select * from {{ ref('int_charges_joined') }}
    {{ where_changed('charge_id') }}

),

payments_of_order as (

    select * from {{ ref('int_order_payments_summed') }}

),

compared as (

    select
        charges.*,
        payments_of_order.captured_amount as order_captured_amount,
        payments_of_order.refunded_amount as order_refunded_amount,
        payments_of_order.charge_count as order_charge_count,
        payments_of_order.is_rate_missing as is_order_rate_missing,
        case when charges.is_order_cancelled then 0 else charges.order_total_amount end
            as order_amount_due,
        case
            when payments_of_order.has_foreign_currency
                then charges.order_total_amount * {{ var('foreign_currency_tolerance') }}
            else 0
        end as tolerance
    from charges
    left join payments_of_order
        on charges.order_id = payments_of_order.order_id

),

weighed as (

    select
        *,
        {{ payment_status(
            'order_amount_due',
            'order_captured_amount',
            'order_refunded_amount',
            'tolerance',
            'is_order_rate_missing'
        ) }} as order_status
    from compared

),

final as (

    select
        ---------- ids
        charge_id,
        order_id,
        order_reference,
        stripe_customer_id,
        payment_intent_id,

        ---------- text
        status,
        case
            when order_id is null then 'orphan_charge'
            when amount_collected = 0 then 'not_collected'
            -- money came, be it less than a cent
            when order_status = 'unpaid' then 'underpaid'
            else order_status
        end as match_status,
        currency,
        failure_code,

        ---------- numerics, in the charge's currency
        cast(amount as decimal(18, 3)) as charge_amount,
        cast(amount_collected as decimal(18, 3)) as charge_amount_captured,
        cast(amount_refunded as decimal(18, 3)) as charge_amount_refunded,

        ---------- numerics, in the shop's currency
        captured_amount,
        refunded_amount,
        disputed_amount,
        lost_amount,
        cast(captured_amount - refunded_amount - lost_amount as decimal(18, 2)) as kept_amount,
        refund_count,
        dispute_count,
        cast(order_amount_due as decimal(18, 2)) as order_amount_due,
        cast(order_captured_amount as decimal(18, 2)) as order_captured_amount,
        cast(
            order_captured_amount - order_refunded_amount - order_amount_due as decimal(18, 2)
        ) as order_difference,
        order_charge_count,

        ---------- booleans
        has_open_dispute,
        is_foreign_currency,
        is_rate_missing,
        amount_refunded_or_released = amount_refunded_by_charge as is_refund_sum_consistent,

        ---------- timestamps
        charge_date,
        charged_at,
        _loaded_at
    from weighed

)

select * from final
