{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_changed('charge_id', ref('int_changed_charges')) }}",
    )
}}

with

changed_charges as (

    select * from {{ ref('int_changed_charges') }}

),

charges as (

    select * from {{ ref('int_charges_joined') }}
    {{ of_this_build('charge_id', 'changed_charges') }}

),

payments_of_order as (

    select * from {{ ref('int_order_payments_summed') }}
    {{ of_this_build() }}

),

compared as (

    select
        charges.charge_id,
        charges.order_id,
        charges.amount_collected,
        payments_of_order.captured_amount as order_captured_amount,
        payments_of_order.refunded_amount as order_refunded_amount,
        payments_of_order.charge_count as order_charge_count,
        case when charges.is_order_cancelled then 0 else charges.order_total_amount end as order_amount_due,
        case
            when payments_of_order.has_foreign_currency
                then charges.order_total_amount * {{ var('foreign_currency_tolerance') }}
            else 0
        end as tolerance
    from charges
    left join payments_of_order
        on charges.order_id = payments_of_order.order_id

),

matched as (

    select
        ---------- ids
        charge_id,
        order_id,

        ---------- text
        case
            when order_id is null then 'orphan_charge'
            when amount_collected = 0 then 'not_collected'
            else {{ payment_status('order_amount_due', 'order_captured_amount', 'order_refunded_amount', 'tolerance') }}
        end as match_status,

        ---------- numerics, in the shop's currency
        order_amount_due,
        order_captured_amount,
        order_refunded_amount,
        order_charge_count,
        tolerance
    from compared

)

select
    *,
    {{ build_number() }} as _build_number
from matched
