{{ config(unique_key='charge_id', incremental_strategy='delete+insert') }}

with

charges as (

    select * from {{ ref('stg_charges') }}

),

currency_rates as (

    select * from {{ ref('currency_rates') }}

),

loaded as (

    select * from charges
    {{ where_loaded_since() }}
    {{ newest_version(['charge_id'], ['_loaded_at desc', '_fetched_at desc nulls last']) }}

),

collected as (

    select
        *,
        case when status = 'succeeded' then amount_captured else 0 end as amount_collected
    from loaded

),

converted as (

    select
        ---------- ids
        collected.charge_id,
        collected.order_id as referenced_order_id,
        collected.order_reference,
        collected.stripe_customer_id,
        collected.payment_intent_id,

        ---------- text
        collected.status,
        collected.currency,
        collected.failure_code,

        ---------- numerics, in the charge's currency
        collected.amount,
        collected.amount_collected,
        collected.amount_refunded as amount_refunded_by_charge,

        ---------- numerics, in the shop's currency
        currency_rates.rate_to_usd,
        {{ to_shop_currency('collected.amount_collected', 'currency_rates.rate_to_usd') }}
            as captured_amount,

        ---------- booleans
        collected.currency <> '{{ var("shop_currency") }}' as is_foreign_currency,
        currency_rates.rate_to_usd is null as is_rate_missing,
        collected.is_deleted,

        ---------- timestamps
        collected.charge_date,
        collected.charged_at,
        collected._loaded_at
    from collected
    left join currency_rates
        on
            collected.currency = currency_rates.currency
            and collected.charge_date between currency_rates.valid_from and currency_rates.valid_to

),

with_moved as (

    select * from converted
    {{ left_behind('converted', 'charge_id', 'referenced_order_id') }}

)

select * from with_moved
