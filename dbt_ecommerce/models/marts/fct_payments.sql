{{
    config(
        materialized='incremental',
        incremental_strategy=upsert(),
        unique_key='charge_id',
        on_schema_change='fail',
        pre_hook="{{ delete_gone('charge_id', ref('int_changed_charges'), ref('int_charges_converted')) }}",
    )
}}

with

charges as (

    select * from {{ ref('int_charges_joined') }}
    {{ of_this_build() }}

),

matches as (

    select * from {{ ref('int_payments_matched') }}
    {{ of_this_build() }}

),

final as (

    select
        ---------- ids
        charges.charge_id,
        charges.order_id,
        charges.order_reference,
        charges.stripe_customer_id,
        charges.payment_intent_id,

        ---------- text
        charges.status,
        matches.match_status,
        charges.currency,
        charges.failure_code,

        ---------- numerics, in the charge's currency
        cast(charges.amount as decimal(18, 3)) as charge_amount,
        cast(charges.amount_collected as decimal(18, 3)) as charge_amount_captured,
        cast(charges.amount_refunded as decimal(18, 3)) as charge_amount_refunded,

        ---------- numerics, in the shop's currency
        charges.captured_amount,
        charges.refunded_amount,
        charges.disputed_amount,
        charges.lost_amount,
        cast(charges.captured_amount - charges.refunded_amount - charges.lost_amount as decimal(18, 2)) as kept_amount,
        charges.refund_count,
        charges.dispute_count,
        cast(matches.order_amount_due as decimal(18, 2)) as order_amount_due,
        cast(matches.order_captured_amount as decimal(18, 2)) as order_captured_amount,
        cast(
            matches.order_captured_amount - matches.order_refunded_amount - matches.order_amount_due as decimal(18, 2)
        ) as order_difference,
        matches.order_charge_count,

        ---------- booleans
        charges.has_open_dispute,
        charges.is_foreign_currency,
        charges.is_rate_missing,
        charges.amount_refunded = charges.amount_refunded_by_charge as is_refund_sum_consistent,

        ---------- timestamps
        charges.charge_date,
        charges.charged_at,
        charges._loaded_at
    from charges
    inner join matches
        on charges.charge_id = matches.charge_id

)

select * from final
