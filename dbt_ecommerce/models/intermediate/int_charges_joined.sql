{{ config(materialized='view') }}

with

charges as (

    select * from {{ ref('int_charges_converted') }}

),

refunds as (

    select * from {{ ref('int_refunds_matched') }}

),

disputes as (

    select * from {{ ref('stg_disputes') }}

),

refunds_of_charge as (

    select
        charge_id,
        count(*) as refund_count,
        sum(case when is_succeeded then amount else 0 end) as amount_refunded,
        sum(case when is_succeeded then refunded_amount else 0 end) as refunded_amount,
        sum(revenue_refund_amount) as revenue_refund_amount,
        max(case when is_succeeded then refunded_at end) as last_refunded_at,
        max(_loaded_at) as _loaded_at
    from refunds
    where charge_id is not null
    group by charge_id

),

disputes_of_charge as (

    select
        charge_id,
        count(*) as dispute_count,
        sum(amount) as amount_disputed,
        sum(case when status = 'lost' then amount else 0 end) as amount_lost,
        max(case when status = 'open' then 1 else 0 end) = 1 as has_open_dispute,
        max(_loaded_at) as _loaded_at
    from disputes
    where charge_id is not null
    group by charge_id

),

joined as (

    select
        ---------- ids
        charges.charge_id,
        charges.order_id,
        charges.order_reference,
        charges.stripe_customer_id,
        charges.payment_intent_id,

        ---------- text
        charges.status,
        charges.currency,
        charges.failure_code,

        ---------- numerics, in the charge's currency
        charges.amount,
        charges.amount_collected,
        coalesce(refunds_of_charge.amount_refunded, 0) as amount_refunded,
        charges.amount_refunded_by_charge,

        ---------- numerics, in the shop's currency
        charges.captured_amount,
        cast(coalesce(refunds_of_charge.refunded_amount, 0) as decimal(18, 2)) as refunded_amount,
        cast(coalesce(refunds_of_charge.revenue_refund_amount, 0) as decimal(18, 2)) as revenue_refund_amount,
        {{ to_shop_currency('coalesce(disputes_of_charge.amount_disputed, 0)', 'charges.rate_to_usd') }} as disputed_amount,
        {{ to_shop_currency('coalesce(disputes_of_charge.amount_lost, 0)', 'charges.rate_to_usd') }} as lost_amount,
        charges.order_total_amount,
        coalesce(refunds_of_charge.refund_count, 0) as refund_count,
        coalesce(disputes_of_charge.dispute_count, 0) as dispute_count,

        ---------- booleans
        charges.is_order_cancelled,
        coalesce(disputes_of_charge.has_open_dispute, false) as has_open_dispute,
        charges.is_foreign_currency,
        charges.is_rate_missing,

        ---------- timestamps
        charges.charge_date,
        charges.charged_at,
        refunds_of_charge.last_refunded_at,
        {{ newest_of(['charges._loaded_at', 'refunds_of_charge._loaded_at', 'disputes_of_charge._loaded_at']) }} as _loaded_at
    from charges
    left join refunds_of_charge
        on charges.charge_id = refunds_of_charge.charge_id
    left join disputes_of_charge
        on charges.charge_id = disputes_of_charge.charge_id

)

select * from joined
