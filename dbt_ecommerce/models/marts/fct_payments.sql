{{
    config(
        materialized='incremental',
        incremental_strategy=upsert(),
        unique_key='charge_id',
        on_schema_change='append_new_columns',
        pre_hook="{{ delete_gone('charge_id', ref('int_changed_charges'), ref('int_charges_converted')) }}",
    )
}}

with

payments as (

    select * from {{ ref('int_payments_matched') }}

),

changed_charges as (

    select * from {{ ref('int_changed_charges') }}

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
        match_status,
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
        cast(order_captured_amount - order_refunded_amount - order_amount_due as decimal(18, 2)) as order_difference,
        order_charge_count,

        ---------- booleans
        has_open_dispute,
        is_foreign_currency,
        is_rate_missing,
        amount_refunded = amount_refunded_by_charge as is_refund_sum_consistent,

        ---------- timestamps
        charge_date,
        charged_at,
        _loaded_at
    from payments
    {{ of_changed('charge_id', 'changed_charges') }}

)

select * from final
