{{ config(materialized='view') }}

with

charges as (

    select * from {{ ref('int_charges_joined') }}

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
        *,
        case
            when order_id is null then 'orphan_charge'
            when amount_collected = 0 then 'not_collected'
            else {{ payment_status('order_amount_due', 'order_captured_amount', 'order_refunded_amount', 'tolerance') }}
        end as match_status
    from compared

)

select * from matched
