{{ config(unique_key='order_id') }}

with

charges as (

    select * from {{ ref('int_charges_joined') }}
    {{ where_changed('order_id') }}

),

summed as (

    select
        order_id,
        count(*) as charge_count,
        cast(sum(refund_count) as bigint) as refund_count,
        cast(sum(dispute_count) as bigint) as dispute_count,
        cast(coalesce(sum(captured_amount), 0) as decimal(18, 2)) as captured_amount,
        cast(coalesce(sum(refunded_amount), 0) as decimal(18, 2)) as refunded_amount,
        cast(coalesce(sum(revenue_refund_amount), 0) as decimal(18, 2)) as revenue_refund_amount,
        cast(coalesce(sum(disputed_amount), 0) as decimal(18, 2)) as disputed_amount,
        cast(coalesce(sum(lost_amount), 0) as decimal(18, 2)) as lost_amount,
        max(case when is_foreign_currency then 1 else 0 end) = 1 as has_foreign_currency,
        max(case when is_rate_missing and amount_collected <> 0 then 1 else 0 end) = 1
            as is_rate_missing,
        min(case when captured_amount > 0 then charged_at end) as first_paid_at,
        max(last_refunded_at) as last_refunded_at,
        max(_loaded_at) as _loaded_at
    from charges
    where order_id is not null
    group by order_id

)

select * from summed
