with

refunds as (

    select * from {{ ref('stg_refunds') }}

),

charges as (

    select * from {{ ref('stg_charges') }}

),

orders as (

    select * from {{ ref('stg_orders') }}

),

currency_rates as (

    select * from {{ ref('currency_rates') }}

),

-- a refund is converted at the rate of its charge's day, so that a full refund takes back exactly what was paid
matched as (

    select
        ---------- ids
        refunds.refund_id,
        refunds.charge_id,
        orders.order_id,

        ---------- text
        refunds.status,
        refunds.reason,
        refunds.currency,

        ---------- numerics
        refunds.amount,
        {{ to_shop_currency('refunds.amount', 'currency_rates.rate_to_usd') }} as refunded_amount,

        ---------- booleans
        refunds.is_succeeded,
        charges.charge_id is null as is_orphan_refund,
        coalesce(not orders.is_cancelled, false) as is_of_revenue,

        ---------- timestamps
        refunds.refund_date,
        refunds.refunded_at,
        refunds._loaded_at
    from refunds
    left join charges
        on refunds.charge_id = charges.charge_id
    left join orders
        on charges.order_id = orders.order_id
    left join currency_rates
        on
            refunds.currency = currency_rates.currency
            and coalesce(charges.charge_date, refunds.refund_date) between currency_rates.valid_from and currency_rates.valid_to

)

select * from matched
